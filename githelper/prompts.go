package githelper

import (
	"slices"
	"strings"
)

// A PromptText is a text that a program asks with. Its Format has "…" where something else stands each time.
type PromptText struct {
	Format  string
	Kind    PromptKind
	Program string // "ssh"
	Source  string // file of its source
	Since   string // first version with it, as far as looked back; the one looked at last has it, too

	quoted bool // the value is quoted as Go does it
	cut    int  // the value is cut at this many bytes
	again  bool
}

// PromptTexts returns all texts that ParsePrompt knows. They were read in the sources of git 2.55, git-lfs 3.7.1, OpenSSH 8.0, 8.4,
// 9.2, 10.0 and 10.5, and sudo 1.9.17; none of them is translated, but sudo's.
func PromptTexts() []PromptText { return slices.Clone(promptTexts) }

const (
	sshVersions  = "OpenSSH 8.0"
	confirmsUse  = " (will confirm each use)"
	gitAsk       = "credential.c, credential_ask_one"
	lfsAsk       = "creds/creds.go, getFromProgram"
	sshConnect   = "sshconnect.c"
	sshConnect2  = "sshconnect2.c"
	sshAdd       = "ssh-add.c"
	sshAgent     = "ssh-agent.c"
	sshKeygen    = "ssh-keygen.c"
	sshMux       = "mux.c"
	sshPKCS11    = "ssh-pkcs11.c"
	sshPasswd    = "sshconnect2.c, input_userauth_passwd_changereq"
	sudoPrompt   = "plugins/sudoers/sudoers.c, SUDOERS passprompt"
	sudoPAM      = "plugins/sudoers/auth/pam.c"
	sshHostKeyQ  = "Are you sure you want to continue connecting (yes/no/[fingerprint])? "
	sshHostKeyQ0 = "Are you sure you want to continue connecting (yes/no)? "
)

// promptTexts is in the order of precedence: the first row that matches tells the kind.
var promptTexts = []PromptText{
	// "Username: " without a server is what git asks for a credential without a protocol: there is nothing to keep it under.
	{Format: "Username for '…': ", Kind: PromptUsername, Program: "git", Source: gitAsk, Since: "git 1.7.9"},
	{Format: "Password for '…': ", Kind: PromptPassword, Program: "git", Source: gitAsk, Since: "git 1.7.9"},
	{Format: "Username for …", Kind: PromptUsername, Program: "git-lfs", Source: lfsAsk, Since: "git-lfs 2.3", quoted: true},
	{Format: "Password for …", Kind: PromptPassword, Program: "git-lfs", Source: lfsAsk, Since: "git-lfs 2.3", quoted: true},

	// The server writes what follows the parentheses, so that this row stands before all others of ssh.
	{Format: "(…@…) …", Kind: PromptInteractive, Program: "ssh", Source: sshConnect2 + ", input_userauth_info_req", Since: "OpenSSH 8.5"},
	{Format: "Enter …@…'s old password: ", Kind: PromptLogin, Program: "ssh", Source: sshPasswd, Since: sshVersions},
	{Format: "Enter …@…'s new password: ", Kind: PromptNewPassphrase, Program: "ssh", Source: sshPasswd, Since: sshVersions},
	{Format: "Retype …@…'s new password: ", Kind: PromptNewPassphrase, Program: "ssh", Source: sshPasswd, Since: sshVersions},
	{Format: "…@…'s password: ", Kind: PromptLogin, Program: "ssh", Source: sshConnect2 + ", userauth_passwd", Since: sshVersions},

	{Format: "Enter PIN for …: ", Kind: PromptPIN, Program: "ssh", Source: sshPKCS11 + ", " + sshConnect2 + ", " + sshAgent + ", " + sshAdd, Since: sshVersions},
	{Format: "Enter PIN and confirm user presence for … key …: ", Kind: PromptPIN, Program: "ssh-agent", Source: sshAgent, Since: "OpenSSH 8.9"},
	{Format: "Enter passphrase for PKCS#11: ", Kind: PromptPIN, Program: "ssh-add", Source: sshAdd, Since: sshVersions},

	{Format: `Enter passphrase for "…" (empty for no passphrase): `, Kind: PromptNewPassphrase, Program: "ssh-keygen", Source: sshKeygen, Since: "OpenSSH 9.9"},
	{Format: "Enter passphrase (empty for no passphrase): ", Kind: PromptNewPassphrase, Program: "ssh-keygen", Source: sshKeygen, Since: sshVersions},
	{Format: "Enter new passphrase (empty for no passphrase): ", Kind: PromptNewPassphrase, Program: "ssh-keygen", Source: sshKeygen, Since: sshVersions},
	{Format: "Enter same passphrase again: ", Kind: PromptNewPassphrase, Program: "ssh-keygen", Source: sshKeygen, Since: sshVersions},
	{Format: "Enter lock password: ", Kind: PromptNewPassphrase, Program: "ssh-add", Source: sshAdd, Since: sshVersions},
	{Format: "Again: ", Kind: PromptNewPassphrase, Program: "ssh-add", Source: sshAdd, Since: sshVersions},

	{Format: "Enter passphrase for key '…': ", Kind: PromptPassphrase, Program: "ssh", Source: sshConnect2 + ", load_identity_file", Since: sshVersions, cut: 100},
	{Format: `Enter passphrase for "…": `, Kind: PromptPassphrase, Program: "ssh-keygen", Source: sshKeygen, Since: "OpenSSH 9.9"},
	{Format: "Enter passphrase for …: ", Kind: PromptPassphrase, Program: "ssh-add", Source: sshAdd + ", add_file", Since: sshVersions},
	{Format: "Enter passphrase for …" + confirmsUse + ": ", Kind: PromptPassphrase, Program: "ssh-add -c", Source: sshAdd + ", add_file", Since: sshVersions},
	{Format: "Bad passphrase, try again for …: ", Kind: PromptPassphrase, Program: "ssh-add", Source: sshAdd + ", add_file", Since: sshVersions, again: true},
	{Format: "Bad passphrase, try again for …" + confirmsUse + ": ", Kind: PromptPassphrase, Program: "ssh-add -c", Source: sshAdd + ", add_file", Since: sshVersions, again: true},

	{Format: "The authenticity of host '…' can't be established…" + sshHostKeyQ, Kind: PromptHostKey, Program: "ssh", Source: sshConnect + ", check_host_key", Since: sshVersions},
	{Format: "…" + sshHostKeyQ0, Kind: PromptHostKey, Program: "ssh", Source: sshConnect + ", check_host_key", Since: sshVersions},
	{Format: "Please type 'yes', 'no' or the fingerprint: ", Kind: PromptHostKey, Program: "ssh", Source: sshConnect + ", confirm", Since: sshVersions},
	{Format: "Please type 'yes' or 'no': ", Kind: PromptHostKey, Program: "ssh", Source: sshConnect + ", confirm", Since: sshVersions},
	{Format: "Accept updated hostkeys? (yes/no): ", Kind: PromptHostKey, Program: "ssh", Source: "clientloop.c", Since: sshVersions},

	// Up to OpenSSH 8.1 these come without SSH_ASKPASS_PROMPT=confirm.
	{Format: "Allow use of key …?\nKey fingerprint …", Kind: PromptConfirm, Program: "ssh-agent", Source: sshAgent + ", confirm_key", Since: sshVersions},
	{Format: "Add key … (…) to agent?", Kind: PromptConfirm, Program: "ssh", Source: sshConnect + ", maybe_add_key_to_agent", Since: sshVersions},
	{Format: "Allow shared connection to …? ", Kind: PromptConfirm, Program: "ssh", Source: sshMux, Since: sshVersions},
	{Format: "Terminate shared connection to …? ", Kind: PromptConfirm, Program: "ssh", Source: sshMux, Since: sshVersions},
	{Format: "Disable further multiplexing on shared connection to …? ", Kind: PromptConfirm, Program: "ssh", Source: sshMux, Since: sshVersions},
	{Format: "Allow forward to …", Kind: PromptConfirm, Program: "ssh", Source: sshMux, Since: sshVersions},
	{Format: "Allow multiplex proxy connection?", Kind: PromptConfirm, Program: "ssh", Source: sshMux, Since: "OpenSSH 10.3"},

	{Format: "[sudo] password for …: ", Kind: PromptLocal, Program: "sudo", Source: sudoPrompt, Since: "sudo 1.6.8"},
	{Format: "Password: ", Kind: PromptLocal, Program: "sudo", Source: sudoPAM, Since: "sudo 1.8"},
}

// match compares the whole text, but for spaces at its end, and returns what stands for a row's only "…".
func (t *PromptText) match(text string) (value string, ok bool) {
	parts := strings.Split(strings.TrimRight(t.Format, " "), "…")
	s, found := strings.CutPrefix(strings.TrimRight(text, " "), parts[0])
	if !found {
		return "", false
	}
	if len(parts) == 1 {
		return "", s == ""
	}
	last := parts[len(parts)-1]
	if s, found = strings.CutSuffix(s, last); !found {
		return "", false
	}
	value = s
	for _, part := range parts[1 : len(parts)-1] {
		if _, s, found = strings.Cut(s, part); !found {
			return "", false
		}
	}
	return value, true
}
