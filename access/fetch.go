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
			return nil, fmt.Errorf("%s %s: %w", strings.ToUpper(ue.Op), redactQuery(req.URL), ue.Err)
		}
		return nil, err
	}
	return resp, nil
}

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
		return nil, statusError(resp, body)
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

func statusError(resp *http.Response, body []byte) error {
	text := ""
	if !strings.Contains(resp.Header.Get("Content-Type"), "html") {
		text = strings.TrimSpace(string(bytes.ToValidUTF8(body, nil)))
	}
	if text == "" {
		return fmt.Errorf("%s answered %s", redactQuery(resp.Request.URL), resp.Status)
	}
	return fmt.Errorf("%s answered %s: %q", redactQuery(resp.Request.URL), resp.Status, cut(text))
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

// retry calls f up to three times while it fails in a way that may pass: a
// transport error or a 5xx or 429 of something that is safe to repeat.
func retry(ctx context.Context, f func() (again bool, err error)) error {
	wait := 200 * time.Millisecond
	for n := 1; ; n++ {
		again, err := f()
		if err == nil || !again || n == 3 {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(jitter(wait)):
		}
		wait *= 3
	}
}

// mayPass reports whether a transport error may be gone at the next try. A name
// that does not exist, a certificate that is not trusted and an answer of absurd
// size will not.
func mayPass(err error) bool {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	return !(errors.As(err, &dns) && dns.IsNotFound) && !errors.As(err, &cert) && !errors.Is(err, errTooLarge)
}
