package webproxy

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// However a document arrives, its links are the same.
func FuzzLinks(f *testing.F) {
	const host, base = "https://git.example.com", "http://127.0.0.1:1/token"
	rules := []rule{{host, base, longerHost}, {host + ":443", base, longerHost}}
	for _, s := range []string{"", host, host + "/", host + "." + host, "https:" + host, host + ":443/x", strings.Repeat(host[:9], 3) + host + "\"", host + ":4430"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		whole := replaceAll(s, rules)
		n = max(1, n%64)
		for _, src := range []io.Reader{iotest.OneByteReader(strings.NewReader(s)), &chunks{s, n}, iotest.DataErrReader(&chunks{s, n})} {
			b, err := io.ReadAll(withLinks(io.NopCloser(src), rules))
			if err != nil || string(b) != whole {
				t.Fatalf("%q in pieces of %d: %q, %v; want %q", s, n, b, err, whole)
			}
		}
		// No link is left, and nothing else has changed.
		rest := whole
		for strings.Contains(rest, host) {
			_, rest, _ = strings.Cut(rest, host)
			if rest == "" || !longerHost(rest[0]) {
				t.Fatalf("%q still has a link: %q", s, whole)
			}
		}
		if !strings.Contains(s, base) {
			if back := strings.ReplaceAll(strings.ReplaceAll(whole, base, host), host+":443", host); back != strings.ReplaceAll(s, host+":443", host) {
				t.Fatalf("%q became %q", s, whole)
			}
		}
	})
}

type chunks struct {
	s string
	n int
}

func (c *chunks) Read(p []byte) (int, error) {
	if c.s == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.s)
	c.s = c.s[n:]
	return n, nil
}

// What cannot become a link is not held back.
func TestLinksHoldNothingBack(t *testing.T) {
	pr, pw := io.Pipe()
	r := withLinks(pr, []rule{{"https://git.example.com", "x", longerHost}})
	go func() {
		io.WriteString(pw, `{"event":1}`+"\n")
		io.WriteString(pw, `{"event":2,"h`)
		io.WriteString(pw, `":3}`)
		pw.Close()
	}()
	buf := make([]byte, 64)
	for _, want := range []string{`{"event":1}` + "\n", `{"event":2,"`, `h":3}`} {
		if n, err := r.Read(buf); err != nil || string(buf[:n]) != want {
			t.Fatalf("%q, %v; want %q", buf[:n], err, want)
		}
	}
}
