package githelper

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// PromptKind is what an askpass program is asked for.
type PromptKind int

// Kinds of prompts. Only the first three name what an answer could be kept under.
const (
	PromptUnknown       PromptKind = iota
	PromptUsername                 // a user name at a server, see Prompt.Account
	PromptPassword                 // the password of Prompt.Account
	PromptPassphrase               // of a key, see Prompt.Keys
	PromptNewPassphrase            // one that is being chosen, of a key, an account or an agent
	PromptLogin                    // the password of an account that ssh logs in to; the text does not tell the port
	PromptInteractive              // what an ssh server wants to know: password, one-time code; the text is the server's
	PromptPIN                      // of a token, a card or an authenticator
	PromptLocal                    // the password of a person on this machine
	PromptHostKey                  // whether a host is the right one: yes, no or its fingerprint
	PromptConfirm                  // yes or no
	PromptNotice                   // nothing: a notice that the caller ends, such as to touch a key
)

var kindNames = [...]string{
	"unknown", "username", "password", "passphrase", "new passphrase", "login", "interactive", "PIN", "local", "host key", "confirm", "notice",
}

func (k PromptKind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "PromptKind(" + strconv.Itoa(int(k)) + ")"
	}
	return kindNames[k]
}

// A Prompt is what an askpass program is called with: by git and git-lfs (GIT_ASKPASS), ssh and its kin (SSH_ASKPASS), sudo
// (SUDO_ASKPASS).
type Prompt struct {
	Text string // as it came; it may hold anything, also what a server wrote
	Kind PromptKind

	// Account is where the answer would go, for PromptUsername and PromptPassword. Its Host is empty where the text names no server
	// that can be told for certain, and then nothing that is kept may be the answer.
	Account Account

	// Keys are the files that the passphrase could be of, for PromptPassphrase. More than one: the text does not tell, and all but
	// one should not exist. None: the text is cut short. Relative names are relative to the caller's folder.
	Keys []string

	// Again is set where the text itself says that the answer before was wrong.
	Again bool

	// Program is who asks with such a text, as far as a text can tell: "git", "ssh". Whoever lets a server choose the whole text can
	// make any, as ssh before OpenSSH 8.5 does.
	Program string
}

// Visible reports whether the answer may be shown while it is typed.
func (p *Prompt) Visible() bool {
	switch p.Kind {
	case PromptUsername, PromptHostKey, PromptConfirm, PromptNotice:
		return true
	}
	return false
}

// ParsePrompt reads the text of a prompt. hint is the variable SSH_ASKPASS_PROMPT: OpenSSH 8.2 and later set it to "confirm" or
// "none", which goes before the text. What is in no row of [PromptTexts] is PromptUnknown.
//
// # What a text proves
//
// git before 2.48.1 (and 2.40.4 … 2.47.2) prints user, host and path as they are, later ones percent-encode them
// (credential.sanitizePrompt). The reading here is right for both as to the host: nothing but letters, digits, "-", "." and "_" is taken
// for one, and a text with an "@" behind its first "/" could have two readings and has none. As to the user, an old git's "a%40b" and
// "a@b" read the same.
func ParsePrompt(text, hint string) *Prompt {
	p := &Prompt{Text: text}
	switch strings.ToLower(hint) {
	case "confirm":
		p.Kind, p.Program = PromptConfirm, "ssh"
		return p
	case "none":
		p.Kind, p.Program = PromptNotice, "ssh"
		return p
	}
	for i := range promptTexts {
		row := &promptTexts[i]
		value, ok := row.match(text)
		switch {
		case !ok:
		case p.Kind == PromptUnknown:
			p.Kind, p.Program, p.Again = row.Kind, row.Program, row.again
			p.take(row, value)
		case p.Kind == PromptPassphrase && row.Kind == PromptPassphrase: // another reading of the same text
			p.take(row, value)
		}
	}
	return p
}

func (p *Prompt) take(row *PromptText, value string) {
	switch row.Kind {
	case PromptUsername, PromptPassword:
		if row.quoted {
			var err error
			if !strings.HasPrefix(value, `"`) {
				return
			}
			if value, err = strconv.Unquote(value); err != nil {
				return
			}
		}
		p.Account = accountInPrompt(value)
	case PromptPassphrase:
		switch {
		case row.cut > 0 && len(value) >= row.cut, value == "":
		case !slices.Contains(p.Keys, value):
			p.Keys = append(p.Keys, value)
		}
	}
}

// accountInPrompt reads what git and git-lfs describe a server with, "https://user@host:port/path", or returns the zero Account.
func accountInPrompt(s string) Account {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme == "" || strings.Trim(scheme, alphanumeric+"+-.") != "" {
		return Account{}
	}
	authority, path, _ := strings.Cut(rest, "/")
	user, host := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, host = authority[:i], authority[i+1:]
		if user == "" {
			return Account{}
		}
	}
	// In the user the "@" of an address stands as it is with old gits. The path has none: see ParsePrompt.
	if strings.Trim(user, alphanumeric+"-._~%@+=!$&*(),;:") != "" || strings.Trim(path, alphanumeric+"-._~%/+=!$&*(),;:") != "" {
		return Account{}
	}
	var err [3]error
	user, err[0] = url.PathUnescape(user)
	host, err[1] = url.PathUnescape(host)
	path, err[2] = url.PathUnescape(path)
	if err[0] != nil || err[1] != nil || err[2] != nil || strings.ContainsFunc(user+path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Account{}
	}
	a, e := (&Request{Protocol: scheme, Host: host, Path: path, Username: user}).Account()
	if e != nil {
		return Account{}
	}
	return a
}
