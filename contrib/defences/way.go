package main

// Nobody on the way reads it or changes it.
var onTheWay = []defence{
	{
		promise: "TLS, always",
		file:    "cmd/internal/door/network.go",
		code:    "conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}",
		without: "conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}",
		tests:   []string{"cmd/access-ssh-proxy TestRefusals"},
	},
	{
		promise: "TLS, always",
		file:    "cmd/internal/door/explain.go",
		code:    `hint += fmt.Sprintf(" (issuer %q)", unknown.Cert.Issuer.CommonName)`,
		without: "",
		tests:   []string{"cmd/access-ssh-proxy TestRefusals"},
	},
	{
		promise: "TLS, always",
		file:    "access/origin.go",
		code:    "if !isLoopback(host) {",
		without: "if false {",
		tests:   []string{"access TestOriginOf"},
	},
	{
		// Decrypted without a look at what authenticates it: the key stream is what zeros are sealed to.
		promise: "Tokens of a login by transfer open",
		file:    "access/transfer.go",
		code:    "plain, ok := box.Open(nil, sealed[24:], (*[24]byte)(sealed[:24]), (*[32]byte)(key), private)",
		without: `text := sealed[min(24+box.Overhead, len(sealed)):]
	plain := box.Seal(nil, make([]byte, len(text)), (*[24]byte)(sealed[:24]), (*[32]byte)(key), private)[box.Overhead:]
	for i := range text {
		plain[i] ^= text[i]
	}
	ok := true`,
		tests: []string{"access TestTransferIsTamperedWith"},
	},
	{
		promise: "Tokens of a login by transfer open",
		file:    "access/token.go",
		code:    `case typ == "app" && !slices.Contains(t.Audience, audience):`,
		without: `case false && !slices.Contains(t.Audience, audience):`,
		tests:   []string{"access TestSwappedTokens"},
	},
	{
		promise: "Tokens of a login by transfer open",
		file:    "access/keys.go",
		code:    "if _, err = signed.ParseWithClaims(raw, claims, keys.Set.key); err == nil {",
		without: "if _, _, err = signed.ParseUnverified(raw, claims); err == nil {",
		tests:   []string{"access TestSwappedTokens"},
	},
	{
		promise: "A stream that was cut",
		file:    "sshproxy/relay.go",
		code:    "return EndFailed, &CutError{Err: err}",
		without: "return EndOrigin, nil",
		tests:   []string{"sshproxy TestCutsAreTold", "cmd/access-ssh-proxy TestCutIsTold"},
	},
	{
		promise: "A stream that was cut",
		file:    "sshproxy/conn.go",
		code:    " && !c.bulk.eof",
		without: "",
		tests:   []string{"sshproxy TestRelayEndWithoutCloseFrame"},
	},
	{
		promise: "A stream that was cut",
		file:    "sshproxy/reader.go",
		code:    "return r.left == 0 && r.nhead == 0",
		without: "return r.nhead == 0",
		tests:   []string{"sshproxy TestRelayEndWithoutCloseFrame"},
	},
	{
		promise: "Frames that break the rules",
		file:    "sshproxy/reader.go",
		code:    "case h.masked:",
		without: "case false:",
		tests:   []string{"sshproxy TestConformance", "sshproxy FuzzReader"},
	},
	{
		promise: "Frames that break the rules",
		file:    "sshproxy/reader.go",
		code:    "case h.opcode != opContinuation && r.open:",
		without: "case false:",
		tests:   []string{"sshproxy TestConformance", "sshproxy FuzzReader"},
	},
	{
		promise: "Endless and oversized answers",
		file:    "access/fetch.go",
		code:    "b, err := io.ReadAll(io.LimitReader(r, documentLimit+1))\n\tif err != nil {\n\t\treturn nil, err\n\t}\n\tif len(b) > documentLimit {",
		without: "b, err := io.ReadAll(r)\n\tif err != nil {\n\t\treturn nil, err\n\t}\n\tif false {",
		tests:   []string{"access TestOversizedAndEndless"},
	},
	{
		promise: "Endless and oversized answers",
		file:    "access/access.go",
		code:    "CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },",
		without: "CheckRedirect: func(*http.Request, []*http.Request) error { return nil },",
		tests:   []string{"access TestOversizedAndEndless"},
	},
}
