package accesstest

import (
	"fmt"
	"net/http"
	"strconv"
)

// A Failure is an answer of the edge that is no answer of the origin.
type Failure struct {
	Status int
	// Code is the service's own error code, shown as "error code: NNNN".
	// Zero shows the status.
	Code int
	// RetryAfter is sent along, in seconds.
	RetryAfter int
	// Abort closes the connection without any answer.
	Abort bool
}

// Failures that users meet.
var (
	WAF1010        = Failure{Status: 403, Code: 1010} // browser signature refused before Access
	TunnelDown     = Failure{Status: 530, Code: 1033} // no connector
	BadGateway     = Failure{Status: 502}
	GatewayTimeout = Failure{Status: 504}
	Unavailable    = Failure{Status: 503}
	TooMany        = Failure{Status: 429, Code: 1015}
	Aborted        = Failure{Abort: true}
)

func (f Failure) write(w http.ResponseWriter) {
	if f.Abort {
		panic(http.ErrAbortHandler)
	}
	code := f.Code
	if code == 0 {
		code = f.Status
	}
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	w.WriteHeader(f.Status)
	fmt.Fprintf(w, "error code: %d", code)
}

type failure struct {
	f    Failure
	left int // below zero: for ever
	only func(*http.Request) bool
}

// Fail makes host (an application, a team domain, the transfer host) answer
// its next n requests with f; n below zero lasts until [Edge.Heal]. A non-nil
// only picks the requests.
func (e *Edge) Fail(host string, n int, f Failure, only func(*http.Request) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	host = hostname(host)
	e.failures[host] = append(e.failures[host], &failure{f, n, only})
}

// Heal takes back every Fail of the host.
func (e *Edge) Heal(host string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.failures, hostname(host))
}

// fail answers the request if it is to fail.
func (e *Edge) fail(w http.ResponseWriter, r *http.Request, host string) bool {
	e.mu.Lock()
	var hit *Failure
	for _, f := range e.failures[host] {
		if f.left != 0 && (f.only == nil || f.only(r)) {
			f.left--
			hit = &f.f
			break
		}
	}
	e.mu.Unlock()
	if hit != nil {
		hit.write(w)
	}
	return hit != nil
}
