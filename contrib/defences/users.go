package main

// Other users of the machine, and web pages, get nothing.
var otherUsers = []defence{
	{
		promise: "State, cookie files and leases",
		file:    "internal/state/file.go",
		code:    "info, err := os.Lstat(dir)",
		without: "info, err := os.Stat(dir)",
		tests:   []string{"internal/state TestRefusesWhatIsNotOurs", "keystore TestFileFolders"},
	},
	{
		promise: "State, cookie files and leases",
		file:    "internal/state/file.go",
		code:    "info, err := root.Lstat(base)\n\tif err != nil {\n\t\treturn nil, err",
		without: "info, err := root.Stat(base)\n\tif err != nil {\n\t\treturn nil, err",
		tests:   []string{"internal/state TestRefusesWhatIsNotOurs"},
	},
	{
		promise: "State, cookie files and leases",
		file:    "internal/state/file_unix.go",
		code:    "if ok && st.Uid",
		without: "if false && ok && st.Uid",
		tests:   []string{"internal/state TestRefusesWhatIsNotOurs"},
	},
	{
		promise: "State, cookie files and leases",
		file:    "internal/state/file_unix.go",
		code:    "if info.Mode().Perm()&0o022 != 0 {",
		without: "if false {",
		tests:   []string{"internal/state TestRefusesWhatIsNotOurs", "keystore TestFileFolders"},
	},
	{
		promise: "State, cookie files and leases",
		file:    "internal/state/file.go",
		code:    "os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)",
		without: "os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)",
		tests:   []string{"internal/state TestSaveLoadRemove"},
	},
	{
		promise: "State, cookie files and leases",
		file:    "internal/state/file_unix.go",
		code:    "os.MkdirAll(dir, 0o700)",
		without: "os.MkdirAll(dir, 0o777)",
		tests:   []string{"internal/state TestSaveLoadRemove", "internal/lease TestLeaseFileIsOurs"},
	},
	{
		// What stands behind a link is not written to in any case: sameFile sees that it is another file. But it would be made.
		promise: "State, cookie files and leases",
		file:    "internal/lease/flags_unix.go",
		code:    "os.O_CREATE | os.O_RDWR | syscall.O_NOFOLLOW",
		without: "os.O_CREATE | os.O_RDWR",
		tests:   []string{"internal/lease TestRefusesALinkAsLeaseFile"},
	},
	{
		promise: "State, cookie files and leases",
		file:    "internal/lease/lease.go",
		code:    "flock.SetPermissions(0o600)",
		without: "flock.SetPermissions(0o666)",
		tests:   []string{"internal/lease TestLeaseFileIsOurs"},
	},
	{
		promise: "State, cookie files and leases",
		file:    "githelper/jar.go",
		code:    "info, err := os.Lstat(j.Path)",
		without: "info, err := os.Stat(j.Path)",
		tests:   []string{"githelper TestJarIsNoLink", "githelper TestJarSaveReplacesAnOpenFile"},
	},
	{
		promise: "State, cookie files and leases",
		file:    "githelper/jar.go",
		code:    "info.Mode().Perm()&0o077 != 0",
		without: "false",
		tests:   []string{"githelper TestJarSaveReplacesAnOpenFile"},
	},
	{
		promise: "A name in a store or a cache",
		file:    "internal/state/name.go",
		code:    "case c == '.' && i > 0 && i < len(e)-1:",
		without: "case c == '.':",
		tests:   []string{"internal/state TestPathKeepsEveryNameInsideAndApart", "internal/state FuzzPath"},
	},
	{
		promise: "The loopback proxy answers who knows",
		file:    "webproxy/admit.go",
		code:    "subtle.ConstantTimeCompare([]byte(s), []byte(p.token)) == 1",
		without: "subtle.ConstantTimeCompare([]byte(s), []byte(p.token)) >= 0",
		tests:   []string{"webproxy TestWhoMayUseIt"},
	},
	{
		promise: "The loopback proxy answers who knows",
		file:    "webproxy/admit.go",
		code:    "if !p.unix && !p.hosts[strings.ToLower(r.Host)] {",
		without: "if false {",
		tests:   []string{"webproxy TestWhoMayUseIt"},
	},
	{
		promise: "The loopback proxy answers who knows",
		file:    "webproxy/admit.go",
		code:    `if o := r.Header.Get("Origin"); o != "" && !strings.EqualFold(o, own) {`,
		without: "if false {",
		tests:   []string{"webproxy TestWhoMayUseIt", "webproxy TestUnixSocket"},
	},
	{
		promise: "The loopback proxy answers who knows",
		file:    "webproxy/admit.go",
		code:    `case "cross-site", "same-site":`,
		without: `case "nowhere":`,
		tests:   []string{"webproxy TestWhoMayUseIt"},
	},
	{
		promise: "The loopback proxy answers who knows",
		file:    "internal/socket/socket.go",
		code:    "errors.Join(os.Chmod(made, 0o600), os.Rename(made, path))",
		without: "errors.Join(os.Rename(made, path))",
		tests:   []string{"webproxy TestUnixSocket"},
	},
	{
		promise: "The loopback proxy answers who knows",
		file:    "webproxy/listen.go",
		code:    `host != "localhost" && (ip == nil || !ip.IsLoopback())`,
		without: `ip != nil && host == "localhost"`,
		tests:   []string{"webproxy TestOnlyLoopback"},
	},
	{
		promise: "The loopback proxy answers who knows",
		file:    "webproxy/proxy.go",
		code:    "if !a.IP.IsLoopback() {",
		without: "if false {",
		tests:   []string{"webproxy TestOnlyLoopback"},
	},
	{
		promise: "The loopback proxy answers who knows",
		file:    "webproxy/peer_linux.go",
		code:    "uid != 0 && int64(uid) != int64(os.Geteuid())",
		without: "int64(uid) == int64(os.Geteuid()) && false",
		tests:   []string{"webproxy TestAnotherUserDoesNotGetIn"},
	},
	{
		promise: "The loopback proxy answers who knows",
		file:    "webproxy/peer_linux.go",
		code:    "errors.Is(err, errGone) || err == nil",
		without: "err == nil",
		tests:   []string{"webproxy TestWhoHasGoneDoesNotGetIn"},
	},
	{
		// As options of git, in place of its environment.
		promise: "Nothing secret is in a command line",
		file:    "cmd/access/run.go",
		code:    "\tfor _, v := range vars {\n\t\tenviron = v.apply(environ)\n\t}",
		without: `	for i, v := range vars {
		if strings.HasPrefix(v.name, "GIT_CONFIG_KEY_") {
			command = append([]string{command[0], "-c", v.value.Reveal() + "=" + vars[i+1].value.Reveal()}, command[1:]...)
		} else if !strings.HasPrefix(v.name, "GIT_CONFIG_") {
			environ = v.apply(environ)
		}
	}`,
		tests: []string{"cmd/git-credential-access leaks_service.txtar"},
	},
	{
		promise: "Nothing secret is in a command line",
		file:    "githelper/remote.go",
		code:    `cmd = exec.CommandContext(ctx, g.Path, "remote-https", r.Name, r.raw)`,
		without: `var options []string
	for _, c := range o.Cookies {
		options = append(options, "-c", section+"extraHeader=Cookie: "+c.Name+"="+c.Value.Reveal())
	}
	cmd = exec.CommandContext(ctx, g.Path, append(options, "remote-https", r.Name, r.raw)...)`,
		tests: []string{"cmd/git-remote-access leaks.txtar"},
	},
	{
		promise: "Nothing secret is in a command line",
		file:    "cmd/access/curl.go",
		code:    "args = withConfig(path, args)",
		without: `_ = path
		for line := range strings.Lines(config) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
			args = append(args, "--"+name, strings.Trim(value, "\""))
		}`,
		tests: []string{"cmd/access curl.txtar"},
	},
	{
		promise: "Nothing secret is in a command line",
		file:    "keystore/keychain.go",
		code:    `s.run(ctx, line, "-i")`,
		without: `s.run(ctx, line, "-i", line)`,
		tests:   []string{"keystore TestSecurityTool"},
	},
	{
		promise: "What keyrings show of entries",
		file:    "keystore/envelope.go",
		code:    "return hex.EncodeToString(sum[:16])",
		without: "return hex.EncodeToString(sum[:0]) + key",
		tests:   []string{"keystore TestItemsSayNothingPersonal"},
	},
}
