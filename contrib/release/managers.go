package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"text/template"
)

// managers writes what Homebrew, Scoop and Nix install the archives by.
func (r *release) managers(archives map[platform]string) error {
	sums := map[string]string{}
	names := map[string]string{}
	for p, name := range archives {
		sum, err := r.sum(name)
		if err != nil {
			return err
		}
		sums[p.String()], names[p.String()] = sum, name
	}
	data := map[string]any{
		"Version": r.number(), "Homepage": homepage, "Synopsis": synopsis, "Sum": sums, "Name": names,
		"Base": homepage + "/releases/download/" + r.version + "/",
	}
	has := func(list ...string) bool {
		for _, p := range list {
			if sums[p] == "" {
				return false
			}
		}
		return true
	}
	if has("darwin/amd64", "darwin/arm64", "linux/amd64", "linux/arm64") {
		for name, text := range map[string]string{"gitaccess.rb": homebrew, "gitaccess.nix": nix} {
			var b bytes.Buffer
			if err := template.Must(template.New(name).Parse(text)).Execute(&b, data); err != nil {
				return err
			}
			if err := r.write(name, b.Bytes()); err != nil {
				return err
			}
		}
	}
	if has("windows/amd64", "windows/arm64") {
		return r.scoop(names, sums)
	}
	return nil
}

// https://docs.brew.sh/Formula-Cookbook
const homebrew = `class Gitaccess < Formula
  desc "Git and ssh through Cloudflare Access"
  homepage "{{.Homepage}}"
  version "{{.Version}}"
  license "Apache-2.0"

  on_macos do
    on_intel do
      url "{{.Base}}{{index .Name "darwin/amd64"}}"
      sha256 "{{index .Sum "darwin/amd64"}}"
    end
    on_arm do
      url "{{.Base}}{{index .Name "darwin/arm64"}}"
      sha256 "{{index .Sum "darwin/arm64"}}"
    end
  end

  on_linux do
    on_intel do
      url "{{.Base}}{{index .Name "linux/amd64"}}"
      sha256 "{{index .Sum "linux/amd64"}}"
    end
    on_arm do
      url "{{.Base}}{{index .Name "linux/arm64"}}"
      sha256 "{{index .Sum "linux/arm64"}}"
    end
  end

  def install
    bin.install Dir["bin/*"]
    man1.install Dir["share/man/man1/*"]
    bash_completion.install Dir["share/bash-completion/completions/*"]
    zsh_completion.install Dir["share/zsh/site-functions/*"]
    fish_completion.install Dir["share/fish/vendor_completions.d/*"]
    doc.install Dir["share/doc/gitaccess/*"]
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/access version")
  end
end
`

// The released programs as they are: static ones need nothing of Nix, and so what
// runs is what was signed.
const nix = `# nix-build -E 'with import <nixpkgs> {}; callPackage ./gitaccess.nix {}'
{ lib, stdenvNoCC, fetchurl }:

let
  sources = {
    x86_64-linux = {
      name = "{{index .Name "linux/amd64"}}";
      sha256 = "{{index .Sum "linux/amd64"}}";
    };
    aarch64-linux = {
      name = "{{index .Name "linux/arm64"}}";
      sha256 = "{{index .Sum "linux/arm64"}}";
    };
    x86_64-darwin = {
      name = "{{index .Name "darwin/amd64"}}";
      sha256 = "{{index .Sum "darwin/amd64"}}";
    };
    aarch64-darwin = {
      name = "{{index .Name "darwin/arm64"}}";
      sha256 = "{{index .Sum "darwin/arm64"}}";
    };
  };
  system = stdenvNoCC.hostPlatform.system;
  source = sources.${system} or (throw "gitaccess is not built for ${system}");
in
stdenvNoCC.mkDerivation {
  pname = "gitaccess";
  version = "{{.Version}}";

  src = fetchurl {
    url = "{{.Base}}${source.name}";
    inherit (source) sha256;
  };

  dontConfigure = true;
  dontBuild = true;
  dontStrip = true;

  installPhase = ''
    runHook preInstall
    mkdir -p $out
    cp -r bin share $out/
    runHook postInstall
  '';

  meta = {
    description = "{{.Synopsis}}";
    homepage = "{{.Homepage}}";
    license = lib.licenses.asl20;
    mainProgram = "access";
    platforms = builtins.attrNames sources;
    sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
  };
}
`

// https://github.com/ScoopInstaller/Scoop/wiki/App-Manifests
func (r *release) scoop(names, sums map[string]string) error {
	type build struct {
		URL        string `json:"url"`
		Hash       string `json:"hash"`
		ExtractDir string `json:"extract_dir"`
	}
	manifest := struct {
		Version      string           `json:"version"`
		Description  string           `json:"description"`
		Homepage     string           `json:"homepage"`
		License      string           `json:"license"`
		Suggest      map[string]any   `json:"suggest"`
		Architecture map[string]build `json:"architecture"`
		Bin          []string         `json:"bin"`
	}{
		Version: r.number(), Description: synopsis, Homepage: homepage, License: "Apache-2.0",
		Suggest: map[string]any{"git": "git"}, Architecture: map[string]build{}, Bin: r.windows,
	}
	for arch, scoop := range map[string]string{"amd64": "64bit", "arm64": "arm64"} {
		name := names["windows/"+arch]
		manifest.Architecture[scoop] = build{
			URL: homepage + "/releases/download/" + r.version + "/" + name, Hash: sums["windows/"+arch], ExtractDir: strings.TrimSuffix(name, ".zip"),
		}
	}
	b, err := json.MarshalIndent(manifest, "", "    ")
	if err != nil {
		return err
	}
	return r.write("gitaccess.json", append(b, '\n'))
}
