package main

// Nobody logs in by surprise.
var logins = []defence{
	{
		promise: "A login is opened for hosts that a person",
		file:    "cmd/internal/door/person.go",
		code:    "case !c.Named && !d.IsSetUp(c.Origin):",
		without: "case false:",
		tests:   []string{"cmd/internal/door TestMayAsk", "cmd/internal/door TestSetUpAllowsAsking"},
	},
	{
		promise: "A login is opened for hosts that a person",
		file:    "access/obtain.go",
		code:    "if t.refusal != nil {",
		without: "if false {",
		tests:   []string{"access TestNobodyMayBeAsked"},
	},
	{
		promise: "Many processes open one tab",
		file:    "access/obtain.go",
		code:    "lease, err = c.cfg.Locker.Lock(ctx, name, func(",
		without: "lease, err = c.cfg.Locker.Lock(ctx, fmt.Sprint(name, time.Now().UnixNano()), func(",
		tests:   []string{"access TestOneLoginForMany", "cmd/access-ssh-proxy TestOneLoginForFiftyProcesses"},
	},
	{
		promise: "Many processes open one tab",
		file:    "access/obtain.go",
		code:    "case t.policy.Background && !t.waited && ago < leftUndone:",
		without: "case false:",
		tests:   []string{"access TestLoginLeftUndone"},
	},
	{
		promise: "A refusal by another team",
		file:    "access/obtain.go",
		code:    "case errors.As(err, &changed):\n\t\treturn changed",
		without: "case errors.As(err, &changed):",
		tests:   []string{"access TestRefusalByAnotherTeam"},
	},
	{
		promise: "Trouble of a server or the network opens no login",
		file:    "access/obtain.go",
		code:    "if trouble(err) {",
		without: "if false {",
		tests:   []string{"access TestTroubleAsksNobody", "cmd/internal/faults TestServerTrouble", "cmd/internal/faults TestBrokenConnections"},
	},
	{
		promise: "The callback of a login",
		file:    "access/callback.go",
		code:    `case want.state == "" || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(want.state)) != 1:`,
		without: "case subtle.ConstantTimeCompare(nil, nil) != 1:",
		tests:   []string{"access TestForeignCallbacks", "access TestStateMismatch"},
	},
	{
		promise: "The callback of a login",
		file:    "access/callback.go",
		code:    "case r.Host != cb.host:",
		without: "case false:",
		tests:   []string{"access TestForeignCallbacks"},
	},
	{
		promise: "The callback of a login",
		file:    "access/authorize.go",
		code:    "verifier = oauth2.GenerateVerifier()",
		without: "verifier = strings.Repeat(\"a\", 43)",
		tests:   []string{"access TestInjectedCode"},
	},
	{
		promise: "Whether a host's key is the right one",
		file:    "cmd/access-askpass/ask.go",
		code:    "case err == nil && len(b) == 0 && a.prompt.Kind == githelper.PromptHostKey:\n\t\t\treturn githelper.Secret{}, nil, errNoAnswer",
		without: "case err == nil && len(b) == 0 && a.prompt.Kind == githelper.PromptHostKey:\n\t\t\treturn githelper.NewSecret(\"yes\"), p, nil",
		tests:   []string{"cmd/access-askpass TestHostKey"},
	},
}
