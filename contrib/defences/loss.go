package main

// Nothing is lost.
var nothingLost = []defence{
	{
		promise: "A program that is killed at any moment",
		file:    "internal/state/file.go",
		code:    "err = replace(root, base, b, perm)",
		without: "err = root.WriteFile(base, b, perm)",
		tests:   []string{"keystore TestFileSuite"},
	},
	{
		promise: "A program that is killed at any moment",
		file:    "keystore/split.go",
		code:    "Generation: randomHex(8)",
		without: `Generation: "0123456789abcdef"`,
		tests:   []string{"keystore TestPartsSurviveACutAnywhere"},
	},
	{
		promise: "A network that breaks costs no token",
		file:    "access/authorize.go",
		code:    "return Credential{}, err // network, 5xx: the refresh token may well be good",
		without: `oe = &OAuthError{Code: "invalid_grant"}`,
		tests:   []string{"cmd/internal/faults TestBrokenConnections", "cmd/internal/faults TestServerTrouble"},
	},
	{
		promise: "A network that breaks costs no token",
		file:    "access/authorize.go",
		code:    "tokenCtx, stop := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)\n\tdefer stop()\n\tconf",
		without: "tokenCtx, stop := context.WithTimeout(ctx, requestTimeout)\n\tdefer stop()\n\tconf",
		tests:   []string{"access TestInterruptedRefreshKeepsTheChain"},
	},
	{
		promise: "A logout is not undone by a renewal",
		file:    "access/logout.go",
		code: `	short, cancel := context.WithTimeout(ctx, logoutWait)
	defer cancel()
	if lease, err := c.cfg.Locker.Lock(short, lockName(app), nil); err == nil {
		defer lease.Release()
	}
`,
		without: "",
		tests:   []string{"access TestLogoutWhileRenewing"},
	},
	{
		promise: "A newer program's data is refused",
		file:    "githelper/logins.go",
		code:    "case head.V > loginVersion:",
		without: "case false:",
		tests:   []string{"githelper TestLoginsOfANewerVersion"},
	},
	{
		promise: "A newer program's data is refused",
		file:    "keystore/envelope.go",
		code:    "if *v.V > version {",
		without: "if false {",
		tests:   []string{"keystore TestFileSuite"},
	},
}
