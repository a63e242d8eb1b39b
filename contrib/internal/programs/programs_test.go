package programs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	help := `usage: tool [FLAGS] HOST
       tool config [FLAGS] HOST   write lines

carry things

First paragraph, of
two lines:
  tool --listen=ADDR host     an example

Environment:
  TOOL_HOST     the host, such as
                tool.example.com
  TOOL=never    nothing

commands:
  click, c  play

flags:
  --listen=ADDR  serve at ADDR (default "x")
  --service-token-secret-file=FILE
                 read it from FILE
  -h, --help     print this and end

flags of every command:
  --team=DOMAIN  accept DOMAIN
`
	want := &Page{
		Words: []string{"tool"}, Usage: []string{"tool [FLAGS] HOST", "tool config [FLAGS] HOST"}, Title: "carry things",
		Text:     []string{"First paragraph, of\ntwo lines:", "  tool --listen=ADDR host     an example"},
		Commands: []string{"config", "click"},
		Flags: []Flag{
			{[]string{"--listen"}, "ADDR", `serve at ADDR (default "x")`},
			{[]string{"--service-token-secret-file"}, "FILE", "read it from FILE"},
			{[]string{"-h", "--help"}, "", "print this and end"},
		},
		Shared:      []Flag{{[]string{"--team"}, "DOMAIN", "accept DOMAIN"}},
		Environment: []Variable{{"TOOL_HOST", "the host, such as tool.example.com"}, {"TOOL=never", "nothing"}},
	}
	got, err := Parse([]string{"tool"}, help)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, bad := range []string{"", "help\n", "usage: tool\n\nno flags\n"} {
		if _, err := Parse([]string{"tool"}, bad); err == nil {
			t.Errorf("%q is a page of help", bad)
		}
	}
}
