# make build    every program into bin/
# make demo     the main job, on an Access edge of its own
# make test     the tests, with all of their set-up; make test-full: everything that there is
# make cross    builds and vets for the other systems
# make release  archives, packages and checksums of the commit into dist/, built twice and compared
# make lint, make fuzz, make bench, make vuln, make clean; make defences: what the threat model's tests would miss

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.PHONY: build demo test test-full testbed vet cross lint fuzz defences bench release vuln clean

GO ?= go
GOFMT = $(shell $(GO) env GOROOT)/bin/gofmt
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.8.0
SCRIPTS = .ci/run $(wildcard contrib/testbed/install contrib/testbed/newgit contrib/testbed/gitsuite contrib/testbed/mirror contrib/ci/buildkite-environment contrib/ci/jenkins-agent.sh)
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
FUZZTIME ?= 10s

# A clone that belongs to somebody else (a container's user) has no version: git refuses to tell it.
BUILDVCS := $(shell git status >/dev/null 2>&1 && echo auto || echo false)
BUILD = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=$(BUILDVCS) -tags urfave_cli_no_docs -ldflags '-s -w'

build:
	@command -v $(GO) >/dev/null || { echo "Go 1.26 or newer is needed: https://go.dev/dl/" >&2; exit 1; }
	@mkdir -p bin
	$(BUILD) -o bin/ ./cmd/...

demo: build
	@$(BUILD) -o .testbed/demo ./contrib/demo
	@.testbed/demo --bin bin

testbed:
	@contrib/testbed/install

vet:
	@unformatted=$$($(GOFMT) -l .); if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	@$(GO) vet ./...

test: testbed vet
	@$(GO) test -json -race -shuffle=on -vet=off -timeout 15m ./... | $(GO) run ./contrib/testbed/report

test-full: export ACCESS_TEST_FULL = 1
test-full: test cross lint fuzz defences release
	@cat .testbed/matrix.md # of cmd/internal/matrix

cross:
	@for platform in $(PLATFORMS); do \
	  export GOOS=$${platform%/*} GOARCH=$${platform#*/} CGO_ENABLED=0; \
	  $(BUILD) -o .testbed/cross/$$GOOS-$$GOARCH/ ./cmd/... && $(GO) vet ./... || { echo "$$platform: FAILED"; exit 1; }; \
	  echo "$$platform: built and vetted, not run"; \
	done

lint: vet
	@$(STATICCHECK) ./...
	@shellcheck $(SCRIPTS)

# Each fuzz target for FUZZTIME, ten minutes in all: what is only new to it is not made small for a minute, as go test would. It ends at the first finding, whose input is a regression test once it is committed.
# "context deadline exceeded" alone is go test late at the end of the time (golang/go#75804, until Go 1.27): no input is left, and the target passes.
fuzz:
	@$(GO) list -f '{{range .TestGoFiles}}{{$$.ImportPath}} {{$$.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$$.ImportPath}} {{$$.Dir}}/{{.}}{{"\n"}}{{end}}' ./... | \
	while read -r package file; do sed -n "s|^func \(Fuzz[[:alnum:]_]*\)(.*|$$package $${file%/*}/testdata/fuzz/\1 \1|p" "$$file"; done | \
	while read -r package inputs target; do \
	  echo "$$package $$target"; \
	  before=$$(echo "$$inputs"/*); \
	  $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x "$$package" </dev/null || \
	    { [ "$$(echo "$$inputs"/*)" = "$$before" ] && $(GO) test -run "^$$target\$$" "$$package" </dev/null; } || \
	    { echo "$$target failed as above; an input that it found is in $$inputs: it becomes a test by being committed" >&2; exit 1; }; \
	done

# Each promise of contrib/doc/threat-model.md: its defence taken away in a copy of the tree, its tests seen to fail.
defences:
	@$(GO) run ./contrib/defences

# One table; with cloudflared beside ours if CLOUDFLARED names it. BENCH=--quick is for a look.
bench: build
	@$(BUILD) -o .testbed/bench/bench ./contrib/bench
	@.testbed/bench/bench --bin bin --svg .testbed/bench.svg --markdown .testbed/bench.md $(BENCH)

# Of the commit, not of the work tree.
release:
	@$(GO) run ./contrib/release -o dist

# What the Go vulnerability database knows of our modules; VULNDB=/path/to/vulndb asks a copy of it.
vuln:
	@$(GOVULNCHECK) $(if $(VULNDB),-db file://$(abspath $(VULNDB))) ./...

clean:
	rm -rf bin dist .testbed
