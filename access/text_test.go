package access

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// What is cut for a message stays text: half a character steers or blurs a terminal.
func TestCutKeepsCharacters(t *testing.T) {
	for n := 190; n < 210; n++ {
		s := strings.Repeat("a", n) + strings.Repeat("€", 20)
		got := cut(s)
		if !utf8.ValidString(got) || len(got) > 200+len("…") || !strings.HasPrefix(s, strings.TrimSuffix(got, "…")) {
			t.Errorf("%d: %q", n, got)
		}
	}
	if got := cut("short €"); got != "short €" {
		t.Errorf("got %q", got)
	}
}

func TestKindNames(t *testing.T) {
	for kind, want := range map[Kind]string{None: "none", JWT: "jwt", Bearer: "bearer", ServiceToken: "service-token", -1: "Kind(-1)", 9: "Kind(9)"} {
		if got := kind.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
