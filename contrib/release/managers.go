package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"text/template"
)

// managers writes what Homebrew, Scoop and Nix install the archives by, where there
// are all of them.
func (r *release) managers(archives map[platform]archive) error {
	list := map[string]archive{}
	for p, a := range archives {
		list[p.String()] = a
	}
	base := homepage + "/releases/download/" + r.version + "/"
	has := func(platforms ...string) bool {
		return !slices.ContainsFunc(platforms, func(p string) bool { return list[p].Name == "" })
	}
	if has("darwin/amd64", "darwin/arm64", "linux/amd64", "linux/arm64") {
		data := map[string]any{"Version": r.number(), "Homepage": homepage, "Synopsis": synopsis, "Base": base, "Archives": list}
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
		return r.scoop(base, list["windows/amd64"], list["windows/arm64"])
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
      url "{{.Base}}{{(index .Archives "darwin/amd64").Name}}"
      sha256 "{{(index .Archives "darwin/amd64").Sum}}"
    end
    on_arm do
      url "{{.Base}}{{(index .Archives "darwin/arm64").Name}}"
      sha256 "{{(index .Archives "darwin/arm64").Sum}}"
    end
  end

  on_linux do
    on_intel do
      url "{{.Base}}{{(index .Archives "linux/amd64").Name}}"
      sha256 "{{(index .Archives "linux/amd64").Sum}}"
    end
    on_arm do
      url "{{.Base}}{{(index .Archives "linux/arm64").Name}}"
      sha256 "{{(index .Archives "linux/arm64").Sum}}"
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
      name = "{{(index .Archives "linux/amd64").Name}}";
      sha256 = "{{(index .Archives "linux/amd64").Sum}}";
    };
    aarch64-linux = {
      name = "{{(index .Archives "linux/arm64").Name}}";
      sha256 = "{{(index .Archives "linux/arm64").Sum}}";
    };
    x86_64-darwin = {
      name = "{{(index .Archives "darwin/amd64").Name}}";
      sha256 = "{{(index .Archives "darwin/amd64").Sum}}";
    };
    aarch64-darwin = {
      name = "{{(index .Archives "darwin/arm64").Name}}";
      sha256 = "{{(index .Archives "darwin/arm64").Sum}}";
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
func (r *release) scoop(base string, amd64, arm64 archive) error {
	type build struct {
		URL        string `json:"url"`
		Hash       string `json:"hash"`
		ExtractDir string `json:"extract_dir"`
	}
	manifest := struct {
		Version      string            `json:"version"`
		Description  string            `json:"description"`
		Homepage     string            `json:"homepage"`
		License      string            `json:"license"`
		Suggest      map[string]string `json:"suggest"`
		Architecture map[string]build  `json:"architecture"`
		Bin          []string          `json:"bin"`
	}{
		Version: r.number(), Description: synopsis, Homepage: homepage, License: "Apache-2.0", Suggest: map[string]string{"git": "git"},
		Architecture: map[string]build{"64bit": {base + amd64.Name, amd64.Sum, amd64.folder}, "arm64": {base + arm64.Name, arm64.Sum, arm64.folder}},
		Bin:          amd64.programs,
	}
	b, err := json.MarshalIndent(manifest, "", "    ")
	if err != nil {
		return err
	}
	return r.write("gitaccess.json", append(b, '\n'))
}
