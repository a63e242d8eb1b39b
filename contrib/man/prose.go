package main

import "slices"

// What help has no room for. Each fact is here once, with the programs that it holds for.

type entry struct {
	names []string
	text  string
	of    []string // programs; nil: all but access-edge
}

func pick(entries []entry, program string) []entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e entry) bool {
		if e.of == nil {
			return program == "access-edge"
		}
		return !slices.Contains(e.of, program)
	})
}

type example struct {
	what  string
	lines []string
}

var (
	cli    = []string{"access"}
	helper = []string{"git-credential-access"}
	ssh    = []string{"access-ssh-proxy"}
)

var environment = []entry{
	{[]string{"ACCESS_HOSTS"}, "Hosts to which the service token in CF_ACCESS_CLIENT_ID may go where no person has named the host: names, and patterns such as *.example.com, with commas or spaces between them.", nil},
	{[]string{"ACCESS_INTERACTIVE"}, "With never, nobody is asked to log in. With always, somebody may be though there is no terminal.", nil},
	{[]string{"ACCESS_KEYSTORE"}, "The store for secrets, by name: secret-service, file, keyctl or pass; on macOS keychain or file; on Windows wincred or file. Unset, the system's keyring is taken if it can be written to, else file.", nil},
	{[]string{"ACCESS_KEYSTORE_KEY_FILE"}, "Seals the file store with the key in this file, of at least 32 bytes. The systemd credential access-keystore-key does the same.", nil},
	{[]string{"ACCESS_KEYSTORE_PASSPHRASE"}, "Seals the file store with this passphrase.", nil},
	{[]string{"ACCESS_STATE_DIR"}, "The folder for everything that is kept; an absolute path.", nil},
	{[]string{"ACCESS_PROXY_URL", "ACCESS_PROXY_ROOT", "ACCESS_PROXY_TOKEN", "ACCESS_PROXY_SOCKET"}, "What access proxy tells the command that it runs: where the host is, without the secret in the path, the secret, and the socket in place of the three.", cli},
	{[]string{"ACCESS_CERT"}, "With skip, access-ssh-proxy cert does nothing.", ssh},
	{[]string{"BROWSER"}, "Commands that open an address, with colons between them, tried before those of the system.", nil},
	{[]string{"CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET"}, "A service token. It goes to the host that a person named to the program, and to those in ACCESS_HOSTS.", nil},
	{[]string{"CI"}, "Set, it forbids logins.", nil},
	{[]string{"GCM_INTERACTIVE"}, "With never or false, nobody is asked to log in.", nil},
	{[]string{"GIT_TERMINAL_PROMPT"}, "With 0, nobody is asked to log in.", nil},
	{[]string{"GIT_SSL_NO_VERIFY"}, "Of git: access doctor warns of it. The programs here do not follow it.", cli},
	{[]string{"GITHUB_ENV"}, "The file that access env --format github adds to.", cli},
	{[]string{"SSH_ASKPASS_PROMPT"}, "How ssh wants to be answered: confirm or none.", []string{"access-askpass"}},
	{[]string{"GIT_SSL_CAINFO", "GIT_SSL_CERT", "GIT_SSL_KEY"}, "Authorities and client certificate, as git has them.", append(helper, cli...)},
	{[]string{"HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}, "Proxies, in upper or lower case: http, https, socks5 and socks5h.", nil},
	{[]string{"LISTEN_FDS", "LISTEN_PID"}, "The sockets for --listen=systemd.", ssh},
	{[]string{"NETRC"}, "The file that access import --from=netrc takes, in place of ~/.netrc.", cli},
	{[]string{"NO_COLOR"}, "Set, it keeps colours away.", cli},
	{[]string{"SSH_AUTH_SOCK"}, "The agent that access-ssh-proxy cert gives its key to.", ssh},
	{[]string{"SSL_CERT_FILE", "SSL_CERT_DIR"}, "Certificate authorities to trust in place of the system's; not on macOS and Windows, where --ca-file is for that.", nil},
	{[]string{"VSCODE_GIT_FETCH_SILENT"}, "Set by the editor for fetches in the background: nobody is asked to log in.", helper},
}

var files = []entry{
	{[]string{"~/.local/state/gitaccess"}, "What is kept: caches, locks, and git's cookie files (0600). It is $XDG_STATE_HOME/gitaccess, on macOS ~/Library/Application Support/gitaccess, on Windows %LocalAppData%\\gitaccess. With the store file, secrets are there, too.", nil},
	{[]string{"~/.ssh/gitaccess"}, "The lines of access-ssh-proxy config, which ~/.ssh/config includes, and the keys of access-ssh-proxy cert.", ssh},
}

var exitStatus = []entry{
	{[]string{"0"}, "Done, or not ours to do.", nil},
	{[]string{"1"}, "Failed.", nil},
	{[]string{"2"}, "The command line cannot be understood.", nil},
	{[]string{"3"}, "A login is required, and may not be made here.", nil},
	{[]string{"4"}, "Refused by the Access policy.", nil},
	{[]string{"128+N"}, "Ended by signal N.", nil},
}

// more are paragraphs behind the description in help.
var more = map[string][]string{
	"access": {
		"Messages stand on standard error: a line with error says what failed, lines with hint say what to do. Standard output has what was asked for and nothing else.",
	},
	"git-credential-access": {
		"Before git's first request it writes the session of the host into a cookie file that git reads, and renews it ahead of its end. For a host with Managed OAuth it answers with the access token where git accepts one (2.46 and later). It asks a person to log in only where somebody is there to answer.",
	},
	"access-ssh-proxy": {
		"What is wrong goes to standard error; nothing but the stream goes to standard output.",
	},
}

var examples = map[string][]example{
	"access": {
		{"Let git pass Access at a host, and clone:", []string{
			"access setup git https://git.example.com/code.git",
			"git clone https://git.example.com/code.git",
		}},
		{"Keep a service token for a host; the secret is read from standard input:", []string{
			`printf '%s\n' "$CF_ACCESS_CLIENT_SECRET" | access service-token add --client-id "$CF_ACCESS_CLIENT_ID" ci.example.com`,
		}},
	},
	"access-ssh-proxy": {
		{"Reach a server by ssh, without any configuration:", []string{
			"ssh -o 'ProxyCommand=access-ssh-proxy --hostname=%h' git@ssh.example.com",
		}},
	},
	"git-credential-access": {
		{"What access setup git writes, by hand:", []string{
			"git config --global --add credential.https://git.example.com.helper ''",
			"git config --global --add credential.https://git.example.com.helper access",
		}},
	},
}

var seeAlso = map[string][]string{
	"access":                {"git 1", "git-credential 1", "ssh_config 5"},
	"access-ssh-proxy":      {"ssh 1", "ssh-keygen 1", "ssh_config 5"},
	"git-credential-access": {"git-credential 1", "git-config 1", "gitcredentials 7"},
	"git-remote-access":     {"gitremote-helpers 7"},
	"access-askpass":        {"git 1", "ssh 1", "ssh-add 1"},
}
