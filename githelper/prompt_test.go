package githelper

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePrompt(t *testing.T) {
	at := func(protocol, host, path, user string) Account { return Account{protocol, host, path, user} }
	const hostKey = "The authenticity of host 'git.example.com (192.0.2.7)' can't be established.\nED25519 key fingerprint is: SHA256:abc\n" +
		"This key is not known by any other names.\nAre you sure you want to continue connecting (yes/no/[fingerprint])? "
	for _, tt := range []struct {
		text string
		want Prompt
	}{
		{"Username for 'https://git.example.com': ", Prompt{Kind: PromptUsername, Program: "git", Account: at("https", "git.example.com", "", "")}},
		{"Password for 'https://ada@git.example.com': ", Prompt{Kind: PromptPassword, Program: "git", Account: at("https", "git.example.com", "", "ada")}},
		{"Password for 'https://ada%40example.com@git.example.com': ", Prompt{Kind: PromptPassword, Program: "git", Account: at("https", "git.example.com", "", "ada@example.com")}},
		{"Password for 'https://ada@example.com@git.example.com': ", Prompt{Kind: PromptPassword, Program: "git", Account: at("https", "git.example.com", "", "ada@example.com")}},
		{"Password for 'http://ada@[::1]:3000/org/demo.git': ", Prompt{Kind: PromptPassword, Program: "git", Account: at("http", "[::1]:3000", "org/demo.git", "ada")}},
		{"Password for 'https://ada@my%5Fhost:8443': ", Prompt{Kind: PromptPassword, Program: "git", Account: at("https", "my_host:8443", "", "ada")}},
		{"Password for 'https://ada@Git.Example.com:443':", Prompt{Kind: PromptPassword, Program: "git", Account: at("https", "git.example.com", "", "ada")}},
		{"Password for 'cert:///home/ada/key.pem': ", Prompt{Kind: PromptPassword, Program: "git"}},
		{`Username for "https://git.example.com"`, Prompt{Kind: PromptUsername, Program: "git-lfs", Account: at("https", "git.example.com", "", "")}},
		{`Password for "https://ada%40example.com@git.example.com:8443/org/demo.git"`, Prompt{Kind: PromptPassword, Program: "git-lfs", Account: at("https", "git.example.com:8443", "org/demo.git", "ada@example.com")}},

		// Two readings, or a host that is none: nothing that is kept may be the answer.
		{"Password for 'https://good.example.com/x@evil.example.com': ", Prompt{Kind: PromptPassword, Program: "git"}},
		{"Password for 'https://a@good.example.com/b@evil.example.com': ", Prompt{Kind: PromptPassword, Program: "git"}},
		{"Password for 'https://good.example.com': @evil.example.com': ", Prompt{Kind: PromptPassword, Program: "git"}},
		{"Password for 'https://good.example.com%2F@evil': ", Prompt{Kind: PromptPassword, Program: "git", Account: at("https", "evil", "", "good.example.com/")}},
		{"Password for 'https://good.example.com%2Fevil': ", Prompt{Kind: PromptPassword, Program: "git"}},
		{"Password for 'https://good.example.com\\@evil': ", Prompt{Kind: PromptPassword, Program: "git"}},
		{"Password for 'https://good.example.com#@evil': ", Prompt{Kind: PromptPassword, Program: "git"}},
		{"Password for 'https://good.example.com%0a@evil': ", Prompt{Kind: PromptPassword, Program: "git"}},
		{`Password for "https://good.example.com\n"`, Prompt{Kind: PromptPassword, Program: "git-lfs"}},
		{"Password for `https://good.example.com`", Prompt{Kind: PromptPassword, Program: "git-lfs"}},
		{"Username: ", Prompt{}},

		{"Enter passphrase for key '/home/ada/.ssh/id_ed25519': ", Prompt{Kind: PromptPassphrase, Program: "ssh", Keys: []string{"/home/ada/.ssh/id_ed25519", "key '/home/ada/.ssh/id_ed25519'"}}},
		{"Enter passphrase for /home/ada/.ssh/id_ed25519: ", Prompt{Kind: PromptPassphrase, Program: "ssh-add", Keys: []string{"/home/ada/.ssh/id_ed25519"}}},
		{"Bad passphrase, try again for id: ", Prompt{Kind: PromptPassphrase, Program: "ssh-add", Keys: []string{"id"}, Again: true}},
		{"Enter passphrase for id (will confirm each use): ", Prompt{Kind: PromptPassphrase, Program: "ssh-add", Keys: []string{"id (will confirm each use)", "id"}}},
		{`Enter passphrase for "id": `, Prompt{Kind: PromptPassphrase, Program: "ssh-keygen", Keys: []string{"id", `"id"`}}},
		{"Enter passphrase for key '/" + strings.Repeat("d", 99) + "': ", Prompt{Kind: PromptPassphrase, Program: "ssh", Keys: []string{"key '/" + strings.Repeat("d", 99) + "'"}}},
		{`Enter passphrase for "id" (empty for no passphrase): `, Prompt{Kind: PromptNewPassphrase, Program: "ssh-keygen"}},
		{"Enter passphrase: ", Prompt{}},
		{"Enter passphrase for PKCS#11: ", Prompt{Kind: PromptPIN, Program: "ssh-add"}},

		{"ada@ssh.example.com's password: ", Prompt{Kind: PromptLogin, Program: "ssh"}},
		{"(ada@ssh.example.com) Password: ", Prompt{Kind: PromptInteractive, Program: "ssh"}},
		{"(ada@ssh.example.com) Enter passphrase for key '/home/ada/.ssh/id_ed25519': ", Prompt{Kind: PromptInteractive, Program: "ssh"}},
		{"(ada@ssh.example.com) Password for 'https://ada@git.example.com': ", Prompt{Kind: PromptInteractive, Program: "ssh"}},
		{"Enter PIN for ED25519-SK key /home/ada/.ssh/id_sk: ", Prompt{Kind: PromptPIN, Program: "ssh"}},
		{"Enter PIN for 'token label': ", Prompt{Kind: PromptPIN, Program: "ssh"}},
		{"Enter PIN and confirm user presence for ED25519-SK key SHA256:abc: ", Prompt{Kind: PromptPIN, Program: "ssh-agent"}},
		{hostKey, Prompt{Kind: PromptHostKey, Program: "ssh"}},
		{"Please type 'yes', 'no' or the fingerprint: ", Prompt{Kind: PromptHostKey, Program: "ssh"}},
		{"Allow use of key ada@example.com?\nKey fingerprint SHA256:abc.", Prompt{Kind: PromptConfirm, Program: "ssh-agent"}},
		{"[sudo] password for ada: ", Prompt{Kind: PromptLocal, Program: "sudo"}},
		{"", Prompt{}},
		{"Password for 'https://ada@g\u0130t.example.com': ", Prompt{Kind: PromptPassword, Program: "git"}}, // xn--git-9dc.example.com
		{"Password for 'https://ada@g%C4%B0t.example.com': ", Prompt{Kind: PromptPassword, Program: "git"}},
		{"What is the airspeed of a swallow? ", Prompt{}},
	} {
		tt.want.Text = tt.text
		if diff := cmp.Diff(&tt.want, ParsePrompt(tt.text, "")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.text, diff)
		}
	}
	for hint, kind := range map[string]PromptKind{"confirm": PromptConfirm, "none": PromptNotice, "NONE": PromptNotice, "other": PromptPassword} {
		if p := ParsePrompt("Password for 'https://ada@git.example.com': ", hint); p.Kind != kind || kind != PromptPassword && p.Account != (Account{}) {
			t.Errorf("with %q: %v %v", hint, p.Kind, p.Account)
		}
	}
}

// The texts are in the programs of this machine.
func TestPromptTextsAreReal(t *testing.T) {
	binaries := map[string][]string{}
	for _, p := range []string{"git", "ssh", "ssh-add", "ssh-agent", "ssh-keygen"} {
		path, err := exec.LookPath(p)
		if err != nil {
			t.Skipf("%s is missing: install git and openssh-client", p)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		binaries[p] = strings.Split(string(bytes.ToValidUTF8(b, []byte{0})), "\x00")
	}
	// What a newer OpenSSH than that of a stable system has, or writes in pieces.
	notYet := []string{"(empty for no passphrase): ", `Enter passphrase for "…": `, "Allow multiplex proxy connection?", "Allow forward to …", "Enter PIN and confirm"}
	found := 0
	for _, row := range PromptTexts() {
		program, _, _ := strings.Cut(row.Program, " ")
		strs, ok := binaries[program]
		if !ok {
			continue
		}
		pieces := strings.FieldsFunc(strings.ReplaceAll(strings.ReplaceAll(row.Format, "for '…'", "\x00"), " (will confirm each use)", ""), func(r rune) bool { return r == '…' || r == 0 })
		all := true
		for _, piece := range pieces {
			in := false
			for _, s := range strs {
				in = in || strings.Contains(s, strings.TrimSpace(piece))
			}
			all = all && in
		}
		if all {
			found++
			continue
		}
		old := false
		for _, n := range notYet {
			old = old || strings.Contains(row.Format, n)
		}
		if !old {
			t.Errorf("%s has no %q", program, row.Format)
		}
	}
	if found < 20 {
		t.Errorf("only %d texts were found", found)
	}
}

// asGit describes a server as git does: encoded since 2.48.1 (strbuf_add_percentencode), as it is before.
func asGit(a Account, encoded bool) string {
	enc := func(s, safe string, unsafe string) string {
		if !encoded {
			return s
		}
		var b strings.Builder
		for _, c := range []byte(s) {
			alnum := strings.IndexByte(alphanumeric, c) >= 0
			if c <= 0x1f || c >= 0x7f || safe != "" && !alnum && strings.IndexByte(safe, c) < 0 || safe == "" && strings.IndexByte(unsafe, c) >= 0 {
				fmt.Fprintf(&b, "%%%02X", c)
			} else {
				b.WriteByte(c)
			}
		}
		return b.String()
	}
	const unsafe = " <>\"%{}|\\^`:?#[]@!$&'()*+,;="
	s := a.Protocol + "://"
	if a.Username != "" {
		s += enc(a.Username, "", unsafe+"/") + "@"
	}
	s += enc(a.Host, "-.:[]", "")
	if a.Path != "" {
		s += "/" + enc(a.Path, "", unsafe)
	}
	return s
}

// Whatever a URL holds, in a submodule or a redirect: the prompt that git or git-lfs makes of it is read as that server and user, or as
// none.
func FuzzPromptOfServer(f *testing.F) {
	f.Add("https", "git.example.com", "", "ada")
	f.Add("https", "git.example.com:8443", "org/demo.git", "ada@example.com")
	f.Add("https", "evil.example.com", "", "good.example.com/x")
	f.Add("https", "evil.example.com", "", "good.example.com': ")
	f.Add("https", "evil.example.com", "b@good.example.com", "")
	f.Add("https", "evil.example.com", "': @good.example.com", "ada")
	f.Add("https", "good.example.com/@evil.example.com", "", "ada")
	f.Add("https", "my_host", "a b", "a%40b")
	f.Add("https", "g\u0130t.example.com", "", "ada")
	f.Fuzz(func(t *testing.T, protocol, host, path, user string) {
		truth := Account{protocol, host, path, user}
		goesTo := host[strings.LastIndexByte(host, '@')+1:] // git cuts a URL's user at the first "@", curl, which connects, at the last
		if strings.ContainsAny(protocol+host+path+user, "\n\x00") || strings.Contains(protocol, "://") || host == "" {
			return // git ends at such a URL, or goes to no server
		}
		check := func(text string, sameUser bool) {
			got := ParsePrompt(text, "").Account
			if got == (Account{}) {
				return
			}
			want, err := (&Request{Protocol: protocol, Host: goesTo, Path: path, Username: user}).Account()
			if err != nil || beyondASCII(goesTo) {
				t.Fatalf("%q is read as %+v, and %+v is none", text, got, truth)
			}
			if got.Protocol != want.Protocol || got.Host != want.Host || got.Path != want.Path && sameUser || got.Username != want.Username && sameUser {
				t.Fatalf("%q is read as %+v, want %+v", text, got, want)
			}
		}
		for _, what := range []string{"Username", "Password"} {
			check(what+" for '"+asGit(truth, true)+"': ", true)
			if !strings.Contains(goesTo, "/") { // libcurl refuses it, or looks for a name with "%2f" in it, which no certificate has
				check(what+" for '"+asGit(truth, false)+"': ", !strings.Contains(user+path, "%") && goesTo == host)
			}
			u := &url.URL{Scheme: protocol, Host: host, Path: path}
			if user != "" {
				u.User = url.User(user)
			}
			check(what+" for "+fmt.Sprintf("%q", u), true)
		}
	})
}

// No text at all has a reading that is not in it: the host stands between "//" or "@" and the end of the host, and a key's name is
// part of the text.
func FuzzParsePrompt(f *testing.F) {
	for _, row := range PromptTexts() {
		f.Add(strings.ReplaceAll(row.Format, "…", "x"), "")
		f.Add(strings.ReplaceAll(row.Format, "…", "https://ada@git.example.com"), "")
		f.Add(strings.ReplaceAll(row.Format, "…", `"https://ada@git.example.com"`), "confirm")
		f.Add(strings.ReplaceAll(row.Format, "…", "https://ada@git.example.com%20evil.example.com"), "")
	}
	f.Fuzz(func(t *testing.T, text, hint string) {
		p := ParsePrompt(text, hint)
		if p.Text != text || p.Kind < PromptUnknown || p.Kind > PromptNotice {
			t.Fatalf("%+v", p)
		}
		if p.Account != (Account{}) {
			if p.Kind != PromptUsername && p.Kind != PromptPassword {
				t.Errorf("%q: %v has an account", text, p.Kind)
			}
			name, _, _ := strings.Cut(strings.TrimPrefix(p.Account.Host, "["), ":")
			if _, err := (&Request{Protocol: p.Account.Protocol, Host: p.Account.Host}).URL(); err != nil || name == "" && !strings.Contains(text, "[") {
				t.Errorf("%q: host %q", text, p.Account.Host)
			}
		}
		if len(p.Keys) > 0 && p.Kind != PromptPassphrase {
			t.Errorf("%q: %v has keys", text, p.Kind)
		}
		for _, k := range p.Keys {
			if k == "" || !strings.Contains(text, k) {
				t.Errorf("%q: key %q", text, k)
			}
		}
		if strings.HasPrefix(text, "(") && (p.Account != (Account{}) || len(p.Keys) > 0) {
			t.Errorf("%q: a server's text names %v %v", text, p.Account, p.Keys)
		}
	})
}
