package githelper_test

import (
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/gitaccess/gitaccess/githelper"
)

// The operation "get" of a helper that has put a cookie into the file that git reads.
func ExampleRequest_CookieInJar() {
	stdin := strings.NewReader("capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=git.example.com\n\n")
	req, err := githelper.ReadRequest(stdin)
	if err != nil {
		log.Fatal(err)
	}
	const state = "example:jar" // comes back after a 401: the server wants a login of its own
	answer := req.CookieInJar(state, false)
	if req.Answered(state) {
		answer = req.NextHelper()
	}
	if _, err := answer.WriteTo(os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// capability[]=authtype
	// capability[]=state
	// authtype=
	// credential=
	// ephemeral=1
	// state[]=example:jar
	// continue=1
}

// A prompt that git shows, and to whom the answer would go.
func ExampleParsePrompt() {
	p := githelper.ParsePrompt("Password for 'https://ada@git.example.com': ", "")
	fmt.Println(p.Kind, p.Account.Host, p.Account.Username, p.Visible())
	// Output: password git.example.com ada false
}

// Settings for one run of git, in its environment: a configuration file would keep them.
func ExampleVersion_Configure() {
	environ, err := githelper.Version{Major: 2, Minor: 47}.Configure([]string{"PATH=/usr/bin"},
		[][2]string{{"http.https://git.example.com/.extraHeader", "Example: secret"}})
	if err != nil {
		log.Fatal(err)
	}
	environ, _ = githelper.WithoutTraces(environ)
	fmt.Println(strings.Join(environ, "\n"))
	// Output:
	// PATH=/usr/bin
	// GIT_CONFIG_KEY_0=http.https://git.example.com/.extraHeader
	// GIT_CONFIG_VALUE_0=Example: secret
	// GIT_CONFIG_COUNT=1
	// GIT_TRACE2=0
	// GIT_TRACE2_EVENT=0
	// GIT_TRACE2_PERF=0
}
