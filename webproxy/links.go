package webproxy

import (
	"bytes"
	"io"
	"strings"
)

// A rule replaces one text by another, unless what follows says that it is part of a
// longer one.
type rule struct {
	from, to string
	goesOn   func(next byte) bool // the text is not the one meant
}

// longerHost: "https://git.example.com" is not in "https://git.example.com.evil.example".
func longerHost(next byte) bool {
	return next == '.' || next == '-' || next == '_' || next == ':' || next == '@' || next == '%' ||
		next >= '0' && next <= '9' || next >= 'a' && next <= 'z' || next >= 'A' && next <= 'Z' || next >= 0x80
}

// rules turn the host's address into that of the proxy, in the forms that a kind of
// document has for it; "" is a header.
func (p *Proxy) rules(at place, kind string) []rule {
	host := p.target.Scheme + "://" + p.target.Host
	rules := []rule{{host, at.base, longerHost}}
	if c := canonical(p.target.Host, "https"); p.target.Scheme == "https" && c == p.target.Host {
		rules = append(rules, rule{host + ":443", at.base, longerHost})
	}
	switch {
	case kind == "json":
		escape := strings.NewReplacer("/", `\/`)
		rules = append(rules, rule{escape.Replace(host), escape.Replace(at.base), longerHost})
	case kind == "html" && at.mount != "":
		for _, attr := range []string{"href=", "src=", "action="} {
			for _, quote := range []string{`"`, "'"} {
				text := attr + quote + "/"
				rules = append(rules, rule{text, attr + quote + at.mount + "/", func(next byte) bool { return next == '/' }})
			}
		}
	}
	return rules
}

func replaceAll(s string, rules []rule) string {
	b, err := io.ReadAll(withLinks(io.NopCloser(strings.NewReader(s)), rules))
	if err != nil {
		return s // a strings.Reader does not fail
	}
	return string(b)
}

// withLinks returns a body in which the rules are applied, one after the other. It
// holds nothing back but what may become a match.
func withLinks(body io.ReadCloser, rules []rule) io.ReadCloser {
	r := io.Reader(body)
	for _, rule := range rules {
		r = &replacer{rule: rule, src: r}
	}
	return struct {
		io.Reader
		io.Closer
	}{r, body}
}

type replacer struct {
	rule
	src  io.Reader
	tail []byte // read and undecided
	out  []byte // decided
	err  error  // of src, after tail
	buf  []byte
}

func (r *replacer) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.buf == nil {
			r.buf = make([]byte, 8<<10)
		}
		var n int
		n, r.err = r.src.Read(r.buf)
		r.out, r.tail = r.replace(append(r.tail, r.buf[:n]...), r.err != nil)
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// replace returns what of b is decided, with replacements, and the rest, which is
// none if b is the end.
func (r *replacer) replace(b []byte, end bool) (out, rest []byte) {
	from := []byte(r.from)
	for {
		i := bytes.Index(b, from)
		if i < 0 {
			break
		}
		after := i + len(from)
		if after == len(b) && !end {
			return append(out, b[:i]...), bytes.Clone(b[i:])
		}
		out = append(out, b[:i]...)
		if after < len(b) && r.goesOn(b[after]) {
			out = append(out, from...)
		} else {
			out = append(out, r.to...)
		}
		b = b[after:]
	}
	if end {
		return append(out, b...), nil
	}
	keep := min(len(b), len(from)-1)
	for keep > 0 && !bytes.HasPrefix(from, b[len(b)-keep:]) {
		keep--
	}
	return append(out, b[:len(b)-keep]...), bytes.Clone(b[len(b)-keep:])
}
