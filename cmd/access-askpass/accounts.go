package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// maxFile bounds the files that the environment names.
const maxFile = 1 << 20

// An account is one that the environment has for a host.
type account struct {
	of       githelper.Account // Path "": for all of the host
	password githelper.Secret
}

// accountFor returns what the environment has as an answer: to whom it goes is compared whole, protocol, host and port, and the user if
// the prompt names one.
func accountFor(env *cli.Env, wants githelper.Account, kind githelper.PromptKind) (githelper.Secret, bool, error) {
	accounts, err := accounts(env)
	if err != nil {
		return githelper.Secret{}, false, err
	}
	for _, c := range accounts {
		if c.of.Protocol != wants.Protocol || c.of.Host != wants.Host || c.of.Path != "" && c.of.Path != wants.Path {
			continue
		}
		if kind == githelper.PromptUsername && wants.Username == "" {
			return githelper.NewSecret(c.of.Username), true, nil
		}
		if kind == githelper.PromptPassword && c.of.Username == wants.Username {
			return c.password, true, nil
		}
	}
	return githelper.Secret{}, false, nil
}

// accounts reads the variables, and the file that one of them names.
func accounts(env *cli.Env) ([]account, error) {
	var all []account
	host, user := env.Getenv("ACCESS_ORIGIN_HOST"), env.Getenv("ACCESS_ORIGIN_USERNAME")
	password, err := originPassword(env)
	if err != nil {
		return nil, err
	}
	if password != "" || user != "" || host != "" {
		for _, v := range []struct{ name, value string }{
			{"ACCESS_ORIGIN_HOST", host}, {"ACCESS_ORIGIN_USERNAME", user}, {"ACCESS_ORIGIN_PASSWORD", password},
		} {
			if v.value == "" {
				return nil, &cli.Error{
					Err:   fmt.Errorf("%s is missing beside the other variables of the account", v.name),
					Hints: []string{"an account has a host, a user name and a password: ACCESS_ORIGIN_HOST, ACCESS_ORIGIN_USERNAME, ACCESS_ORIGIN_PASSWORD"},
				}
			}
		}
		for h := range strings.FieldsFuncSeq(host, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
			of, err := server(h)
			if err != nil {
				return nil, fmt.Errorf("ACCESS_ORIGIN_HOST: %w", err)
			}
			of.Username = user
			all = append(all, account{of, githelper.NewSecret(password)})
		}
	}
	if path := env.Getenv("ACCESS_ORIGIN_ACCOUNTS_FILE"); path != "" {
		more, err := readAccounts(path)
		if err != nil {
			return nil, fmt.Errorf("ACCESS_ORIGIN_ACCOUNTS_FILE: %w", err)
		}
		all = append(all, more...)
	}
	return all, nil
}

func originPassword(env *cli.Env) (string, error) {
	path := env.Getenv("ACCESS_ORIGIN_PASSWORD_FILE")
	if p := env.Getenv("ACCESS_ORIGIN_PASSWORD"); p != "" || path == "" {
		return p, nil
	}
	b, err := readFile(path)
	if err != nil {
		return "", fmt.Errorf("ACCESS_ORIGIN_PASSWORD_FILE: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// server reads "git.example.com", "git.example.com:8443" and the same as a URL, which alone may name another protocol than https.
func server(s string) (githelper.Account, error) {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return githelper.Account{}, errors.New("want a host name, or a URL with nothing but a host")
	}
	return (&githelper.Request{Protocol: u.Scheme, Host: u.Host}).Account()
}

// readAccounts reads lines as git-credential-store(1) writes them. Errors tell the line's number and nothing that is in it.
func readAccounts(path string) ([]account, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var all []account
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxFile)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		bad := fmt.Errorf("line %d of %s is not of the form https://user:password@host", n, path)
		u, err := url.Parse(line)
		if err != nil || u.User == nil || u.User.Username() == "" {
			return nil, bad
		}
		of, err := (&githelper.Request{Protocol: u.Scheme, Host: u.Host, Path: strings.TrimLeft(u.Path, "/"), Username: u.User.Username()}).Account()
		password, ok := u.User.Password()
		if err != nil || !ok || password == "" {
			return nil, bad
		}
		all = append(all, account{of, githelper.NewSecret(password)})
	}
	return all, lines.Err()
}

// readFile reads a file, or what a shell gives in place of one, <(…).
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return b, err
}
