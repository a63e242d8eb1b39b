package access

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"
)

// AnswerKind says what an HTTP answer means to someone who wants through Access.
type AnswerKind int

const (
	// AnswerOther: not from Access; the origin spoke.
	AnswerOther AnswerKind = iota
	// AnswerLogin: a person's session is wanted.
	AnswerLogin
	// AnswerOAuth: Managed OAuth; a Bearer token is wanted or was refused.
	AnswerOAuth
	// AnswerServiceOnly: only service tokens may pass.
	AnswerServiceOnly
	// AnswerUnauthorized: Access's own 401, without a way to log in: a service
	// token was wrong, expired or disabled (strict mode).
	AnswerUnauthorized
	// AnswerForbidden: Access's own 403: known, but not allowed.
	AnswerForbidden
	// AnswerBlocked: Cloudflare's firewall (error 1010, 1020 and the like).
	AnswerBlocked
	// AnswerTunnelDown: no connector serves the host name (error 1033).
	AnswerTunnelDown
	// AnswerOriginDown: Cloudflare could not reach the origin (502, 504, 52x).
	AnswerOriginDown
)

// An Answer is what [ReadAnswer] made of an HTTP answer.
type Answer struct {
	Kind       AnswerKind
	StatusCode int
	LoginURL   *url.URL // AnswerLogin by redirect
	Audience   string   // of the application, if the answer tells
	Domain     string   // as the application defines it, if the answer tells
	Resource   string   // URL of the protected-resource metadata, if the answer tells
	Detail     string   // error code or description, for messages
}

// loginPath is where Access sends those without a session [live, client].
const loginPath = "/cdn-cgi/access/login"

// answerBody is how much of a body ReadAnswer looks at.
const answerBody = 64 << 10

// ReadAnswer tells what resp means. It reads at most the first 64 KiB of the body
// of a 401, 403 or 5xx answer and puts them back, so that resp stays whole for the
// caller, who closes its body as ever.
func ReadAnswer(resp *http.Response) Answer {
	a := Answer{StatusCode: resp.StatusCode}
	challenges := parseChallenges(resp.Header.Values("Www-Authenticate"))
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		loc, err := resp.Location()
		if err != nil || !isLoginURL(loc) {
			return a
		}
		a.Kind, a.LoginURL = AnswerLogin, loc
		a.Audience = loc.Query().Get("kid") // [live]
		a.Resource = resourceOf(challenges, "cloudflare-access")
	case resp.StatusCode == http.StatusUnauthorized:
		if a.Resource = resourceOf(challenges, "bearer"); a.Resource != "" {
			a.Kind = AnswerOAuth
			a.Detail = cut(paramOf(challenges, "bearer", "error_description"))
			return a
		}
		if a.Resource = resourceOf(challenges, "cloudflare-access"); a.Resource != "" {
			// The answer to X-Requested-With: XMLHttpRequest [doc: session
			// management, AJAX]: a login all the same.
			a.Kind = AnswerLogin
			return a
		}
		body := peek(resp)
		if r := resourceInBody(resp, body); r != "" {
			a.Kind, a.Resource = AnswerOAuth, r
			return a
		}
		// Strict service-token authentication answers 401 [doc: service tokens];
		// its headers and body are not documented. An origin's 401 must carry a
		// challenge (RFC 9110 §11.6.1), so one without, or one that names Access,
		// is taken for Access's.
		if fromAccess(resp, body) || len(challenges) == 0 {
			a.Kind = AnswerUnauthorized
			a.readDomain(resp)
		}
	case resp.StatusCode == http.StatusForbidden:
		body := peek(resp)
		if code := errorCode(body); code != "" {
			a.Kind, a.Detail = AnswerBlocked, "error code "+code
			return a
		}
		a.readDomain(resp)
		switch {
		case a.Audience != "" || a.Domain != "":
			// Both "only service tokens" and "this token is in no policy" carry the
			// two headers [live]; what was presented decides.
			a.Kind = AnswerServiceOnly
		case fromAccess(resp, body):
			a.Kind = AnswerForbidden
		case resp.Header.Get("Cf-Mitigated") != "": // a challenge page, WAF
			a.Kind, a.Detail = AnswerBlocked, "cf-mitigated: "+cut(resp.Header.Get("Cf-Mitigated"))
		}
	case resp.StatusCode >= 500:
		body := peek(resp)
		code := errorCode(body)
		switch {
		case code == "1033" || resp.StatusCode == 530:
			a.Kind = AnswerTunnelDown
		case resp.StatusCode == 502, resp.StatusCode == 504, resp.StatusCode >= 520 && resp.StatusCode < 530:
			a.Kind = AnswerOriginDown
		}
		if code != "" {
			a.Detail = "error code " + code
		}
	}
	return a
}

func (a *Answer) readDomain(resp *http.Response) {
	a.Audience = resp.Header.Get("Cf-Access-Aud")  // [live]
	a.Domain = resp.Header.Get("Cf-Access-Domain") // [live]
}

// isLoginURL reports whether u is an Access login page. The host is not looked at
// here: nothing is sent to it before it was checked against the pinned team.
func isLoginURL(u *url.URL) bool {
	p := path.Clean(u.Path)
	return p == loginPath || strings.HasPrefix(p, loginPath+"/")
}

// peek reads the beginning of the body and puts it back.
func peek(resp *http.Response) []byte {
	if resp.Body == nil {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerBody))
	rest := resp.Body
	r := io.Reader(io.MultiReader(bytes.NewReader(b), rest))
	if err != nil {
		r = io.MultiReader(bytes.NewReader(b), errReader{err})
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{r, rest}
	return b
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// resourceInBody finds the metadata URL in the JSON body of a Managed OAuth 401,
// which repeats it [doc: authenticate coding agents, step 1]; proxies have been
// seen to drop the header.
func resourceInBody(resp *http.Response, body []byte) string {
	if !strings.Contains(resp.Header.Get("Content-Type"), "json") {
		return ""
	}
	var doc struct {
		Resource string `json:"resource_metadata"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return ""
	}
	return doc.Resource
}

// fromAccess reports whether a refusal is in Access's own words.
func fromAccess(resp *http.Response, body []byte) bool {
	if resp.Header.Get("Cf-Access-Aud") != "" || resp.Header.Get("Cf-Access-Domain") != "" {
		return true
	}
	b := bytes.ToLower(body)
	return bytes.Contains(b, []byte("/cdn-cgi/access/")) || bytes.Contains(b, []byte("cloudflare access"))
}

var errorCodeText = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)\berror(?:\s+code)?:?\s*(1\d{3})\b`) })

// errorCode finds Cloudflare's own error number ("error code: 1010").
func errorCode(body []byte) string {
	if m := errorCodeText().FindSubmatch(body); m != nil {
		return string(m[1])
	}
	return ""
}
