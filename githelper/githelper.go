// Package githelper speaks git's side of authentication: the protocol of credential helpers, the cookie file that git reads, and the
// configuration that joins the two. It is for programs that git calls. It knows nothing of any particular server.
//
// A credential helper reads a request, decides, and writes an answer:
//
//	req, err := githelper.ReadRequest(os.Stdin)
//	if err != nil {
//		return err
//	}
//	if req.Protocol != "https" || req.Host != "git.example.com" {
//		return nil // nothing printed: git asks the next helper
//	}
//	_, err = req.CookieInJar("example:jar", false).WriteTo(os.Stdout)
//
// What git says is a [Request], what it is told a [Response]; [Logins] are the origin's own logins, by [Account]. A [Jar] is the file
// that git reads cookies from, a [HostConfig] the lines of git's configuration for a host, which [EditConfig] writes and [Unset] takes
// away. A [Remote] is how git calls a remote helper, a [Prompt] what it, git-lfs and ssh ask of an askpass program. Package gogit below
// is for programs that contain go-git.
//
// # What git makes of an answer
//
// git ignores the exit code of "get": output counts even if the helper failed, and no output sends git to the next helper and then
// to the person. "quit=1" ends git. "store" and "erase" are hints: git calls every helper that is configured, also for what another
// one answered, says "store" after a login page that came with status 200, and "erase" after a request that it sent without the
// credential (git 2.46 to 2.53, large pushes).
//
// # Errors
//
// What git sent and is no request is a [*SyntaxError], and nothing may be answered to it; a configuration file that another program holds
// is a [*LockedError]. Error texts hold no values of secret keys, which are of type [Secret].
//
// # Sources
//
// git-credential(1) and gitcredentials(7) of git 2.55. Statements about versions were measured with git 2.30.2, 2.39.5, 2.47.3 and
// 2.55.0; the tests of this package measure them again on every git that is there.
package githelper
