package main

// A credential goes where it belongs, and nowhere else.
var whereItGoes = []defence{
	{
		promise: "It is attached by scheme, host and port",
		file:    "access/credential.go",
		code:    "return err == nil && o == cr.App.Origin && cr.App.covers(cleanPath(u.Path))",
		without: "_ = o\n\treturn err == nil",
		tests:   []string{"access TestCredentialCovers", "access TestOtherHostsGetNothing"},
	},
}
