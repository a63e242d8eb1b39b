package main

import (
	"bytes"
	"io"
	"regexp"
	"sync"
)

// redactor takes secrets out of what curl says of its work (--verbose), whose lines
// begin with "*", ">" or "<", or with the time (--trace-time). All else, such as a
// question, it lets through at once.
type redactor struct {
	w       io.Writer
	secrets [][]byte
	line    []byte // so far
}

// sessionCookies are those of Access, in a request or an answer: a service token may
// be answered with a session, which nobody asked for.
var sessionCookies = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\b(CF_Authorization|CF_AppSession|CF_Binding)=[^;\]\s]+`)
})

// credentialHeaders are found by their names, too: curl cuts what is long.
var credentialHeaders = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b(authorization: ?bearer |cf-access-(?:client-secret|token): ?)[^\]\s]+`)
})

const redactedText = "[redacted]"

func (r *redactor) Write(p []byte) (int, error) {
	var out []byte
	for rest := p; len(rest) > 0; {
		n := bytes.IndexAny(rest, "\r\n") + 1
		if n == 0 {
			n = len(rest)
		}
		r.line = append(r.line, rest[:n]...)
		if last := rest[n-1]; last == '\n' || last == '\r' || !bytes.ContainsAny(r.line[:1], "*><0123456789") {
			out = append(out, r.clean()...)
		}
		rest = rest[n:]
	}
	if len(out) > 0 {
		if _, err := r.w.Write(out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// end writes what is left of a line that has no end.
func (r *redactor) end() { r.w.Write(r.clean()) }

func (r *redactor) clean() []byte {
	line := r.line
	r.line = nil
	for _, s := range r.secrets {
		line = bytes.ReplaceAll(line, s, []byte(redactedText))
	}
	line = credentialHeaders().ReplaceAll(line, []byte("${1}"+redactedText))
	return sessionCookies().ReplaceAll(line, []byte("$1="+redactedText))
}
