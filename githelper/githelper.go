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
// # What git makes of an answer
//
// git ignores the exit code of "get": output counts even if the helper failed, and no output sends git to the next helper and then
// to the person. "quit=1" ends git. "store" and "erase" are hints: git calls every helper that is configured, also for what another
// one answered, says "store" after a login page that came with status 200, and "erase" after a request that it sent without the
// credential (git 2.46 to 2.53, large pushes).
//
// # Sources
//
// git-credential(1) and gitcredentials(7) of git 2.55. Statements about versions were measured with git 2.30.2, 2.39.5, 2.47.3 and
// 2.55.0; the tests of this package measure them again on every git that is there.
package githelper
