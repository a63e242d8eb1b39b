package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	edgecli "github.com/gitaccess/gitaccess/internal/cli"
)

// originLogin is what basic.example.com wants by Basic.
const originLogin = "ada:origin-password"

// startup is what programs are told by --json.
type startup struct {
	Notice       string            `json:"notice"`
	Addr         string            `json:"addr"`
	Proxy        string            `json:"proxy"`
	CAFile       string            `json:"ca_file"`
	SPKI         string            `json:"spki"`
	Dir          string            `json:"dir"`
	EnvFile      string            `json:"env_file"`
	Env          map[string]string `json:"env"`
	TeamDomain   string            `json:"team_domain"`
	Apps         []appInfo         `json:"apps"`
	ServiceToken serviceInfo       `json:"service_token"`
	OriginLogin  string            `json:"origin_login"`
	KnownHosts   string            `json:"known_hosts"`
	Repository   string            `json:"repository"`
}

type appInfo struct {
	Host string `json:"host"`
	AUD  string `json:"aud"`
	What string `json:"what"`
}

type serviceInfo struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

const notice = "access-edge: this is an emulated Access edge for trials and tests, no security product: it lets everyone in who asks"

// serve runs the edge until ctx ends.
func serve(ctx context.Context, env *edgecli.Env, o *options) (err error) {
	dir, err := os.MkdirTemp("", "access-edge-")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	if _, err := origin.Init(ctx, dir, "demo.git", nil); err != nil {
		return err
	}
	sshd, err := origin.StartSSH(dir, nil)
	if err != nil {
		return err
	}
	defer sshd.Close()

	eo := &accesstest.Options{KeepRequests: 1000, KeepBody: -1}
	if o.log {
		eo.Done = func(r accesstest.Request) { env.Note("%s", r) }
	}
	e := accesstest.New(eo)
	defer e.Close()
	info, err := publish(e, o, dir, sshd)
	if err != nil {
		return err
	}
	srv, err := e.Listen(o.listen, o.proxy)
	if err != nil {
		return err
	}
	if err := info.describe(srv, sshd, dir); err != nil {
		return err
	}
	if o.json {
		err = json.NewEncoder(env.Stdout).Encode(info)
	} else {
		err = info.print(env)
	}
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// publish puts the applications behind the edge.
func publish(e *accesstest.Edge, o *options, dir string, sshd *origin.SSH) (*startup, error) {
	team := e.AddTeam(o.team)
	team.Set(func(s *accesstest.TeamSettings) { s.AutoApprove = o.autoApprove })
	svc := team.AddServiceToken("demo")
	services := []*accesstest.ServiceToken{svc}
	git := &origin.Git{Root: dir, Program: o.git}
	apps := []struct {
		what string
		app  accesstest.App
	}{
		{"git over HTTP: login or service token", accesstest.App{Host: "git.example.com", Allow: true, Services: services, Origin: git}},
		{"git over HTTP: login or service token, and the origin's own login",
			accesstest.App{Host: "basic.example.com", Allow: true, Services: services, Origin: &origin.Git{Root: dir, Program: o.git, Login: originLogin}}},
		{"git over HTTP: service token alone, strict", accesstest.App{Host: "ci.example.com", Services: services, Strict: true, Origin: git}},
		{"git over HTTP: Managed OAuth", accesstest.App{Host: "oauth.example.com", Allow: true, OAuth: &accesstest.OAuth{}, Origin: git}},
		{"git over SSH: login or service token", accesstest.App{Host: "ssh.example.com", Allow: true, Services: services, TCP: accesstest.DialTCP(sshd.Addr())}},
	}
	info := &startup{Notice: notice, TeamDomain: team.Domain(), ServiceToken: serviceInfo{svc.ID, svc.Secret()}, OriginLogin: originLogin, Repository: "demo.git"}
	add := func(what string, a accesstest.App) {
		a.Team, a.Session = team, o.session
		info.Apps = append(info.Apps, appInfo{a.Host, e.AddApp(a).App().AUD, what})
	}
	taken := func(host string) bool { _, h := o.http[host]; _, t := o.tcp[host]; return h || t }
	for _, a := range apps {
		if !taken(a.app.Host) {
			add(a.what, a.app)
		}
	}
	for host, to := range o.http {
		a := accesstest.App{Host: host, Allow: true, Services: services, Origin: reverseProxy(to)}
		if addr, ok := o.tcp[host]; ok {
			a.TCP = accesstest.DialTCP(addr)
		}
		add(to.String()+": login or service token", a)
	}
	for host, addr := range o.tcp {
		if _, both := o.http[host]; !both {
			add(addr+" by WebSocket: login or service token", accesstest.App{Host: host, Allow: true, Services: services, TCP: accesstest.DialTCP(addr)})
		}
	}
	slices.SortStableFunc(info.Apps, func(a, b appInfo) int { return strings.Compare(a.Host, b.Host) })
	return info, nil
}

// reverseProxy passes requests on as they are: the origin sees the name that the client used.
func reverseProxy(to *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
			r.Out.Header.Set("X-Forwarded-Proto", "https")
		},
		FlushInterval: -1,
	}
}

// describe fills in what is known once the edge listens, and writes the files that people source.
func (s *startup) describe(srv *accesstest.Server, sshd *origin.SSH, dir string) error {
	vars, err := srv.Env(dir)
	if err != nil {
		return err
	}
	s.Addr, s.Proxy, s.SPKI, s.Dir = srv.Addr(), srv.ProxyURL(), srv.SPKI(), dir
	s.Env = map[string]string{}
	var file strings.Builder
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		s.Env[name] = value
		if name == "CI" {
			file.WriteString("unset CI\n")
		} else {
			fmt.Fprintf(&file, "export %s='%s'\n", name, value)
		}
	}
	s.CAFile = s.Env["SSL_CERT_FILE"]
	s.EnvFile = filepath.Join(dir, "env")
	if err := os.WriteFile(s.EnvFile, []byte(file.String()), 0o600); err != nil {
		return err
	}
	s.KnownHosts = filepath.Join(dir, "known_hosts")
	return os.WriteFile(s.KnownHosts, []byte(sshd.KnownHosts("ssh.example.com")), 0o600)
}

// print tells a person how to use the edge.
func (s *startup) print(env *edgecli.Env) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", s.Notice)
	for _, a := range s.Apps {
		fmt.Fprintf(&b, "  %-18s %s\n", a.Host, a.What)
	}
	fmt.Fprintf(&b, `
Take a shell to it (sets HTTPS_PROXY=%s and trusts %s):

  . %s
  export PATH='%s':"$PATH"

Have a person that clicks on everything log in:

  export BROWSER='"%s" click'

or do it yourself, in a browser that goes through the edge; any e-mail address will do. Chromium with a profile of its own:

  chromium --user-data-dir="$(mktemp -d)" --proxy-server=%s --ignore-certificate-errors-spki-list=%s

Clone, over HTTPS and SSH:

  access setup git git.example.com
  git clone https://git.example.com/demo.git
  GIT_SSH_COMMAND="ssh -o ProxyCommand='access-ssh-proxy %%h' -o UserKnownHostsFile=%s" git clone ssh://git@ssh.example.com/demo.git demo-ssh

Or with the service token, in a shell of its own:

  export CF_ACCESS_CLIENT_ID=%s CF_ACCESS_CLIENT_SECRET=%s
  access run ci.example.com -- git clone https://ci.example.com/demo.git demo-ci

basic.example.com also wants the login %s. Stop with Ctrl-C.
`, s.Proxy, s.CAFile, s.EnvFile, filepath.Dir(program()), program(), s.Proxy, s.SPKI, s.KnownHosts, s.ServiceToken.ID, s.ServiceToken.Secret, s.OriginLogin)
	_, err := env.Stdout.Write([]byte(b.String()))
	return err
}

func program() string {
	if p, err := os.Executable(); err == nil {
		return p
	}
	return "access-edge"
}
