package githelper

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// After an upgrade of git the lines are those that setup would write for the new one, wherever they stand.
func TestAdapt(t *testing.T) {
	const origin = "https://git.example.com"
	hosts := map[string]*HostConfig{
		"open":   {},
		"login":  {OwnLogin: true, Username: "ada", Others: []string{"store", "!f() { :; }; f"}},
		"paths":  {Paths: []PathJar{{Path: "/team", Jar: "/jar/team"}}},
		"note":   {Note: "how to take it away", HelperArgs: []string{"--set-up"}},
		"bearer": {Bearer: true},
	}
	versions := []Version{{2, 30, 0}, {2, 39, 0}, {2, 43, 0}, {2, 46, 0}, {2, 54, 0}}
	for name, h := range hosts {
		h.Origin, h.Helper, h.Jar = origin, "/bin/helper", "/jar/git.example.com"
		for i, from := range versions {
			if h.Bearer && !from.Bearer() {
				continue
			}
			for _, before := range []string{"", "[user]\n\tname = Ada\n", "[user]\n\tname = Ada", "[credential \"https://git.example.com\"]\n\tuseHttpPath = true\n"} {
				var base []byte
				if before != "" {
					base = []byte(before)
				}
				old, err := h.Set(base, from)
				if err != nil {
					t.Fatal(err)
				}
				// A section of somebody else behind ours.
				behind := append(bytes.Clone(old), "[http \"https://other.example.com/\"]\n\temptyAuth = true\n"...)
				for _, to := range versions[i:] {
					want, err := h.Set(base, to)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(string(want), string(Adapt(old, origin, to))); diff != "" {
						t.Errorf("%s, %v to %v:\n%s", name, from, to, diff)
					}
					if bytes.HasSuffix(old, []byte("\n")) {
						if got := Unset(Adapt(behind, origin, to), origin); !bytes.Equal(got, Unset(behind, origin)) {
							t.Errorf("%s, %v to %v: %s is left", name, from, to, got)
						}
					}
					suits, found := Suits(old, origin, to)
					if !found || suits != bytes.Equal(old, want) {
						t.Errorf("%s, %v to %v: suits: %t", name, from, to, suits)
					}
					if suits, found := Suits(want, origin, from); !found || suits && from.AtLeast(2, 46) != to.AtLeast(2, 46) {
						t.Errorf("%s, back from %v to %v: suits: %t", name, to, from, suits)
					}
				}
			}
		}
	}
	file := []byte("[http \"https://git.example.com/\"]\n\temptyAuth = true\n")
	if got := Adapt(file, origin, Version{2, 55, 0}); !bytes.Equal(got, file) {
		t.Errorf("lines of somebody else became %s", got)
	}
	if _, found := Suits(file, origin, Version{2, 55, 0}); found {
		t.Error("lines of somebody else were found")
	}
}
