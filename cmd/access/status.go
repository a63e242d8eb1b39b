package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/plaintext"
)

func statusCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "status",
		ArgsUsage: "[HOST]",
		Usage:     "show what is stored, for whom and until when",
		Description: `Shows the hosts with a session, a service token or a password that is kept for git
(git-credential-access --store), and where the secrets are kept and why there.
ACCESS_KEYSTORE names another store: secret-service, keychain, wincred, pass, keyctl
or file. No server is asked. A service token that ends within a week gets a warning, if
its end was told: access service-token add --expires.

With HOST it asks that host how it lets programs in, and says whether this machine has
what that takes (exit code 0), or what to type next: 3 where a login is missing, 4 where
Access refused. Nobody is asked to log in.

  access status
  access status --json
  access status --json https://git.example.com/code.git`,
		Flags:  []urfave.Flag{&urfave.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action: func(c *urfave.Context) error { return status(env, c) },
	}
}

// statusReport is the JSON of `access status`.
type statusReport struct {
	Store statusStore  `json:"store"`
	Hosts []statusHost `json:"hosts"`
}

type statusStore struct {
	Backend  string `json:"backend"`
	Location string `json:"location,omitempty"`
	Sealed   bool   `json:"sealed"`
	Why      string `json:"why"`
}

type statusHost struct {
	Host      string    `json:"host"`
	Mode      string    `json:"mode"`
	Account   string    `json:"account,omitempty"`
	Team      string    `json:"team,omitempty"`
	Expiry    time.Time `json:"expires,omitzero"`
	Expired   bool      `json:"expired,omitempty"`
	Renewable bool      `json:"renewable"`
	Source    string    `json:"source"` // "keystore", or the variable of a service token
}

// warnBefore: a service token that ends within this time is worth a warning [doc:
// service tokens, alert one week before expiry].
const warnBefore = 7 * 24 * time.Hour

func status(env *cli.Env, c *urfave.Context) error {
	if c.NArg() > 0 {
		return hostStatus(env, c)
	}
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	ks, err := d.Store.Keystore(c.Context)
	if err != nil {
		return err
	}
	info := ks.Info()
	report := statusReport{Store: statusStore{info.Backend, info.Location, info.Sealed, info.Why}, Hosts: []statusHost{}}
	now := time.Now()

	sessions, err := d.Client.Sessions(c.Context)
	if err != nil && len(sessions) == 0 {
		return err
	}
	if err != nil {
		env.Warn("%v", err)
	}
	for _, s := range sessions {
		mode := string(access.ModeLogin)
		if s.Kind == access.Bearer {
			mode = string(access.ModeOAuth)
		}
		report.Hosts = append(report.Hosts, statusHost{Host: s.Origin.Host(), Mode: mode, Account: s.Account, Team: s.Team,
			Expiry: s.Expiry, Expired: !now.Before(s.Expiry), Renewable: s.Renewable, Source: "keystore"})
	}
	tokens, err := d.Client.ServiceTokens(c.Context)
	if err != nil {
		env.Warn("%v", err)
	}
	for _, t := range tokens {
		report.Hosts = append(report.Hosts, statusHost{Host: t.Origin.Host(), Mode: string(access.ModeServiceToken), Account: t.ClientID,
			Expiry: t.Expiry, Expired: !t.Expiry.IsZero() && !now.Before(t.Expiry), Source: "keystore"})
	}
	logins, err := d.Logins().All(c.Context)
	if err != nil {
		env.Warn("%v", err)
	}
	for _, l := range logins {
		report.Hosts = append(report.Hosts, statusHost{Host: loginHost(l), Mode: modePassword, Account: loginUser(l),
			Expiry: l.Expiry, Expired: !l.Expiry.IsZero() && !now.Before(l.Expiry), Source: "keystore"})
	}
	for _, t := range d.EnvironmentTokens() {
		hosts := strings.Join(t.Hosts, ",")
		if hosts == "" {
			hosts = "(hosts named on the command line)"
		}
		report.Hosts = append(report.Hosts, statusHost{Host: hosts, Mode: string(access.ModeServiceToken), Account: t.ClientID, Source: t.Source})
	}
	slices.SortFunc(report.Hosts, func(a, b statusHost) int { return strings.Compare(a.Host+a.Mode, b.Host+b.Mode) })

	if c.Bool("json") {
		return writeIndentedJSON(env.Stdout, report)
	}
	for _, h := range report.Hosts {
		if h.Mode == string(access.ModeServiceToken) && !h.Expiry.IsZero() && h.Expiry.Sub(now) < warnBefore {
			env.Warn("the service token %s for %s ends on %s; have it renewed, then: access service-token add %s", h.Account, h.Host, h.Expiry.Format(time.DateOnly), h.Host)
		}
	}
	return report.print(env, now)
}

// modePassword stands for a server's own login, beside the modes of applications.
const modePassword = "password"

// loginHost names what a login is for, without what goes without saying.
func loginHost(l githelper.StoredLogin) string {
	name := l.Host
	if l.Protocol != "https" {
		name = l.Protocol + "://" + name
	}
	if l.Path != "" {
		name += "/" + l.Path
	}
	return name
}

func loginUser(l githelper.StoredLogin) string {
	if l.Username == nil {
		return ""
	}
	return *l.Username
}

func (r *statusReport) print(env *cli.Env, now time.Time) error {
	w := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	for i, h := range r.Hosts {
		if i == 0 {
			fmt.Fprintln(w, "HOST\tMODE\tWHO\tENDS IN\tSTORE\tRENEWABLE")
		}
		renewable := "no"
		if h.Renewable {
			renewable = "yes"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", plaintext.Line(h.Host), h.Mode, plaintext.Line(orDash(h.Account)), endsIn(h.Expiry, now), r.storeOf(h), renewable)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(r.Hosts) == 0 {
		fmt.Fprintln(env.Stdout, "no sessions and no service tokens")
	}
	sealed := "encrypted"
	if !r.Store.Sealed {
		sealed = "not encrypted, readable by you only"
	}
	_, err := fmt.Fprintf(env.Stdout, "\nstore: %s (%s; %s)\n       %s\n", r.Store.Backend, r.Store.Location, sealed, r.Store.Why)
	return err
}

// storeOf says where a secret is: the keyring by its name, or a variable.
func (r *statusReport) storeOf(h statusHost) string {
	if h.Source == "keystore" {
		return r.Store.Backend
	}
	return h.Source
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// endsIn says how much is left in the two largest units.
func endsIn(t, now time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	d := t.Sub(now)
	switch {
	case d <= 0:
		return "expired"
	case d < time.Minute:
		return "under 1m"
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}
