package access

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// requestTimeout bounds one request of a flow, other than a long poll.
const requestTimeout = 20 * time.Second

// documentLimit bounds what is read of a document of the Access protocol.
const documentLimit = 1 << 20

// do sends one request and follows nothing.
func (c *Client) do(ctx context.Context, req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		// url.Error repeats the whole URL, query and all; some carry codes.
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, &noAnswerError{req.Method, redactQuery(req.URL), err}
	}
	return resp, nil
}

// noAnswerError is a request without an answer.
type noAnswerError struct {
	method, url string
	err         error
}

func (e *noAnswerError) Error() string { return fmt.Sprintf("%s %s: %v", e.method, e.url, e.err) }

func (e *noAnswerError) Unwrap() error { return e.err }

// ownRequests carries the requests that the client makes for itself. They name the
// program: Cloudflare's WAF answers default agents of scripts with error 1010.
type ownRequests struct{ c *Client }

func (o ownRequests) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", o.c.cfg.UserAgent)
	resp, err := o.c.cfg.Transport.RoundTrip(req)
	if err == nil {
		o.c.log.Debug("request", "method", req.Method, "url", redactQuery(req.URL), "status", resp.StatusCode)
	}
	return resp, err
}

// redactQuery shows a URL without its query and user information.
func redactQuery(u *url.URL) string {
	v := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return v.String()
}

// getJSON fetches one JSON document from exactly u.
func getJSON[T any](ctx context.Context, c *Client, u *url.URL) (*T, error) {
	if _, err := OriginOf(u); err != nil { // https, or loopback
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.do(ctx, req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return decodeJSON[T](resp, http.StatusOK)
}

// decodeJSON reads resp if its status is one of want and it is JSON.
func decodeJSON[T any](resp *http.Response, want ...int) (*T, error) {
	body, err := readLimited(resp.Body)
	if err != nil {
		return nil, err
	}
	ok := false
	for _, w := range want {
		ok = ok || resp.StatusCode == w
	}
	if !ok {
		return nil, newStatusError(resp, body)
	}
	if mt, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mt != "application/json" && !strings.HasSuffix(mt, "+json") {
		return nil, fmt.Errorf("%s answered %q, not JSON", redactQuery(resp.Request.URL), cut(mt))
	}
	v := new(T)
	if err := json.Unmarshal(body, v); err != nil {
		return nil, fmt.Errorf("%s: %v", redactQuery(resp.Request.URL), err)
	}
	return v, nil
}

// statusError is an answer that says nothing but its status.
type statusError struct {
	url, status string
	code        int
	text        string        // the server's words, cut
	after       time.Duration // Retry-After, or 0
}

func (e *statusError) Error() string {
	s := e.url + " answered " + e.status
	if e.text != "" {
		s += fmt.Sprintf(": %q", e.text)
	}
	if e.after > 0 {
		s += fmt.Sprintf(", and to ask again in %s", e.after)
	}
	return s
}

// passing reports whether the status is one of a server in trouble, which says
// nothing about what was asked (RFC 9110 §15.6, RFC 6585 §4).
func passing(status int) bool { return status >= 500 || status == http.StatusTooManyRequests }

func newStatusError(resp *http.Response, body []byte) error {
	text := ""
	if !strings.Contains(resp.Header.Get("Content-Type"), "html") {
		text = strings.TrimSpace(string(bytes.ToValidUTF8(body, nil)))
	}
	return &statusError{redactQuery(resp.Request.URL), resp.Status, resp.StatusCode, cut(text), retryAfter(resp.Header)}
}

// retryAfter reads Retry-After (RFC 9110 §10.2.3). Its date form needs two clocks
// that agree, and counts as none.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

var errTooLarge = fmt.Errorf("the answer is larger than %d bytes", documentLimit)

func readLimited(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, documentLimit+1))
	if err != nil {
		return nil, err
	}
	if len(b) > documentLimit {
		return nil, errTooLarge
	}
	return b, nil
}

// patience is the longest Retry-After that is waited for. Whoever is told to wait
// longer fails, and says so.
const patience = 10 * time.Second

// retry calls f up to three times while it fails in a way that may pass: a
// transport error or a 5xx or 429 of something that is safe to repeat.
func retry(ctx context.Context, f func() (again bool, err error)) error {
	pause := 200 * time.Millisecond
	for n := 1; ; n++ {
		again, err := f()
		if err == nil || !again || n == 3 || timedOut(err) {
			return err
		}
		wait := jitter(pause)
		var status *statusError
		if errors.As(err, &status) && status.after > 0 {
			if status.after > patience {
				return err
			}
			wait = status.after + jitter(pause)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		pause *= 3
	}
}

// timedOut reports whether a whole time limit was waited for: that is enough.
func timedOut(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// mayPass reports whether a transport error may be gone at the next try. A name
// that does not exist, a certificate that is not trusted and an answer of absurd
// size will not.
func mayPass(err error) bool {
	var dns *net.DNSError
	var status *statusError
	if errors.As(err, &status) {
		return passing(status.code)
	}
	var cert *tls.CertificateVerificationError
	return !(errors.As(err, &dns) && dns.IsNotFound) && !errors.As(err, &cert) && !errors.Is(err, errTooLarge)
}

// trouble reports whether err is the network's or a server's trouble, which says
// nothing about what was asked.
func trouble(err error) bool {
	var none *noAnswerError
	var status *statusError
	return errors.As(err, &none) || errors.As(err, &status) && passing(status.code)
}
