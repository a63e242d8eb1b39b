package gogit_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func (b *bed) url(s string) *url.URL {
	b.Helper()
	u, err := url.Parse(s)
	b.must(err)
	return u
}

// clientCertificate returns a certificate and its key as go-git takes them.
func clientCertificate(t testing.TB) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

var supers int

// addSubmodule makes a repository behind git.example.com that has demo.git as its
// submodule under the URL, and returns its name.
func addSubmodule(t testing.TB, b *bed, url string) string {
	t.Helper()
	supers++
	name := fmt.Sprintf("super%d.git", supers)
	work := t.TempDir()
	run := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "HOME="+work,
			"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL="+ada, "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL="+ada)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	tip := run(filepath.Join(b.root, "demo.git"), "rev-parse", "main")
	run(work, "init", "-q", "-b", "main")
	if err := os.WriteFile(filepath.Join(work, ".gitmodules"), fmt.Appendf(nil, "[submodule \"part\"]\n\tpath = part\n\turl = %s\n", url), 0o644); err != nil {
		t.Fatal(err)
	}
	run(work, "add", ".gitmodules")
	run(work, "update-index", "--add", "--cacheinfo", "160000,"+tip[:40]+",part")
	run(work, "commit", "-q", "-m", "a submodule")
	run(work, "clone", "-q", "--bare", work, filepath.Join(b.root, name))
	return name
}
