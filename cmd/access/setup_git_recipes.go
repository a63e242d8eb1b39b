package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// migrated is what setup took out of git's configuration.
type migrated struct {
	dropped []githelper.Recipe
	token   *setAside // a service token among them
}

// setAside is a service token that stood in git's configuration. git has a person's session in its place, and a stored service token
// would go before that; so it is kept where nobody looks for one until "access service-token add --from-git".
type setAside struct {
	Version  int    `json:"v"`
	ClientID string `json:"id"`
	Secret   string `json:"secret"`
}

func setAsideKey(o access.Origin) string { return "set-aside/" + string(o) }

// withoutRecipes takes the lines out of a configuration file that send a credential of Access to the host in a header.
func (s *gitSetup) withoutRecipes(old []byte, app access.App) ([]byte, migrated) {
	var m migrated
	if old == nil {
		return nil, m
	}
	_, service := githelper.WithoutRecipes(old, func(r githelper.Recipe) bool { return r.For(string(s.origin)) && !r.Session() })
	slices.SortStableFunc(service, func(a, b githelper.Recipe) int { return strings.Compare(a.Header, b.Header) }) // id, secret
	if len(service) == 2 && service[0].Header != service[1].Header {
		m.token = &setAside{1, service[0].Value.Reveal(), service[1].Value.Reveal()}
	}
	old, m.dropped = githelper.WithoutRecipes(old, func(r githelper.Recipe) bool {
		if r.Session() {
			return r.For(string(s.origin)) || r.Section == "" && issuedFor(r.Value, app.Audience)
		}
		return r.For(string(s.origin)) && m.token != nil // half of one is not to be lost
	})
	return old, m
}

// issuedFor reports whether a JWT names the audience. Nothing but the removal of a line hangs on it, so that no signature is looked at.
func issuedFor(jwt githelper.Secret, audience string) bool {
	parts := strings.Split(jwt.Reveal(), ".")
	if len(parts) != 3 || audience == "" {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	var many struct {
		Audience []string `json:"aud"`
	}
	var one struct {
		Audience string `json:"aud"`
	}
	if err != nil {
		return false
	}
	if json.Unmarshal(b, &many) == nil {
		return slices.Contains(many.Audience, audience)
	}
	return json.Unmarshal(b, &one) == nil && one.Audience == audience
}

// redact takes the secrets of the lines out of a diff.
func (m migrated) redact(diff string) string {
	for _, r := range m.dropped {
		if v := r.Value.Reveal(); v != "" && r.Header != "cf-access-client-id" {
			diff = strings.ReplaceAll(diff, v, "[redacted]")
		}
	}
	return diff
}

// keep stores a service token before its lines go.
func (m migrated) keep(ctx context.Context, s *gitSetup) error {
	if m.token == nil {
		return nil
	}
	b, err := json.Marshal(m.token)
	if err == nil {
		err = s.door.Store.Put(ctx, setAsideKey(s.origin), b)
	}
	if err != nil {
		return fmt.Errorf("keep the service token of git's configuration: %w", err)
	}
	return nil
}

// tell says what became of the lines, and where others are.
func (m migrated) tell(ctx context.Context, s *gitSetup) {
	host := s.origin.Host()
	if m.token != nil {
		s.env.Note("git has a session for %s now; the service token %s, which %s had in clear, is set aside in the keystore: to go on with it on a machine "+
			"without a person: access service-token add --from-git %s", host, m.token.ClientID, s.file, host)
	}
	out, err := s.git.Output(ctx, "config", "-z", "--show-origin", "--get-regexp", `^http\.(.*\.)?extraheader$`)
	if err != nil {
		return // none
	}
	f := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	told := map[string]bool{}
	for i := 0; i+1 < len(f); i += 2 {
		file, isFile := strings.CutPrefix(f[i], "file:")
		key, value, _ := strings.Cut(f[i+1], "\n")
		section := strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(key, "http."), "extraheader"), ".")
		r, ok := githelper.ParseRecipe(section, value)
		if !ok || !isFile || !r.For(string(s.origin)) && section != "" || told[file+key] {
			continue
		}
		told[file+key] = true
		to := "it and to wherever it redirects"
		if section == "" {
			to = "every host that git talks to"
		}
		s.env.Warn("%s has git send %s to %s; to take it out: git config --file %s --unset-all %s", file, r.Header, to, filepath.ToSlash(file), key)
	}
}

// refusedBeside adds to the refusal of a host that admits service tokens only what git's configuration has for it.
func (s *gitSetup) refusedBeside(err error) error {
	var refused *access.RefusedError
	if !errors.As(err, &refused) || refused.Cause != access.ServiceTokenRequired {
		return err
	}
	old, rerr := githelper.ReadConfig(s.file)
	if rerr != nil {
		return err
	}
	if _, m := s.withoutRecipes(old, access.App{}); m.token == nil {
		return err
	}
	host := s.origin.Host()
	return &cli.Error{Err: err, Hints: []string{
		fmt.Sprintf("%s has one, in clear; keep it for this host in the keystore: access service-token add --client-id %s %s", s.file, "ID", host),
		fmt.Sprintf("then: access run %s -- git …", host),
	}}
}

// fromGit returns the service token that setup took out of git's configuration.
func fromGit(ctx context.Context, d *door.Door, o access.Origin) (string, access.Secret, error) {
	var t setAside
	b, err := d.Store.Get(ctx, setAsideKey(o))
	if errors.Is(err, fs.ErrNotExist) {
		err = &cli.Error{
			Err:   fmt.Errorf("setup has found no service token for %s in git's configuration", o.Host()),
			Hints: []string{"name it: access service-token add --client-id ID " + o.Host()},
		}
	}
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	return t.ClientID, access.NewSecret(t.Secret), err
}

// tryHost has git ask for a repository that hardly exists, to see whether it gets as far as the server behind Access.
func (s *gitSetup) tryHost(ctx context.Context) error {
	git := *s.git
	git.Env = append(slices.Clone(git.Env), "GIT_TERMINAL_PROMPT=0")
	_, err := git.Output(ctx, "ls-remote", "--quiet", string(s.origin)+"/gitaccess/probe.git")
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	for _, access := range []string{"unable to update url base", "returned error: 302", "returned error: 403", "told us to quit", "could not read Username"} {
		if strings.Contains(err.Error(), access) {
			return &cli.Error{
				Err:   fmt.Errorf("git is set up, but does not pass Access at %s: %w", s.origin.Host(), err),
				Hints: []string{"find out what keeps it from it: access doctor " + s.origin.Host()},
			}
		}
	}
	return nil
}
