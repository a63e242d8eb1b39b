package access

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// certSignPath is where a team domain certifies SSH keys [client: sshgen].
const certSignPath = "/cdn-cgi/access/cert_sign"

// A SignError says that no certificate was signed.
type SignError struct {
	App        App
	StatusCode int    // of the team's answer; 0: it was not asked
	Detail     string // the team's own words, cut; with status 0 the reason in ours
}

func (e *SignError) Error() string {
	s := fmt.Sprintf("access: no SSH certificate for %s", e.App.Origin.Host())
	switch {
	case e.StatusCode == 0:
		return s + ": " + e.Detail
	case e.Detail == "":
		return s + fmt.Sprintf(": %s answered with status %d", e.App.Team, e.StatusCode)
	}
	return s + fmt.Sprintf(": %s answered with status %d: %q", e.App.Team, e.StatusCode, e.Detail)
}

// MayBeKey reports whether a key of another type might be signed: the request was
// understood and refused for what it holds. The texts of the answers are not
// documented, so they are not looked at.
func (e *SignError) MayBeKey() bool {
	return e.StatusCode == http.StatusBadRequest || e.StatusCode == http.StatusUnprocessableEntity
}

// SignSSHKey has the team of the application at u certify an SSH public key, in
// the form of authorized_keys, for the person whose session the credential is, and
// returns the certificate in the same form. It is not looked at here. p says how
// the session may be obtained; p.JWT is set, since only a JWT can be shown there.
//
// The session goes to the pinned team domain and nowhere else. One that the team
// refuses is dropped and renewed once. Errors are those of [Client.Credential] and
// [*SignError].
func (c *Client) SignSSHKey(ctx context.Context, u *url.URL, publicKey string, p Policy) (certificate string, err error) {
	p.JWT = true
	for again := true; ; again = false {
		cr, err := c.Credential(ctx, u, p)
		if err != nil {
			return "", err
		}
		switch cr.Kind {
		case JWT:
		case ServiceToken:
			return "", &SignError{App: cr.App, Detail: "certificates are for people, and this host is used with a service token"}
		default:
			return "", &SignError{App: cr.App, Detail: "Access does not guard it"}
		}
		certificate, err = c.certSign(ctx, cr, publicKey)
		var refused *SignError
		if !errors.As(err, &refused) || refused.StatusCode != http.StatusUnauthorized || !again || cr.Fresh() {
			return certificate, err
		}
		if err := c.Reject(ctx, cr); err != nil {
			return "", err
		}
	}
}

// certSign sends POST {public_key, jwt, issuer} and reads {id, certificate,
// expires_at} [client: sshgen]. Errors are JSON, {status, message}, or plain text;
// both were seen from the same address.
func (c *Client) certSign(ctx context.Context, cr Credential, publicKey string) (certificate string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{
		"public_key": publicKey,
		"jwt":        cr.token.Reveal(),
		"issuer":     "https://" + cr.App.Team,
	})
	if err != nil {
		return "", err
	}
	err = retry(ctx, func() (again bool, err error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, teamURL(cr.App.Team, certSignPath).String(), bytes.NewReader(body))
		if err != nil {
			return false, err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json")
		resp, err := c.do(ctx, req)
		if err != nil {
			return mayPass(err), err
		}
		defer resp.Body.Close()
		if answer := ReadAnswer(resp); answer.Kind == AnswerBlocked {
			return false, &RefusedError{App: cr.App, Cause: Blocked, StatusCode: answer.StatusCode, Detail: cut(answer.Detail)}
		}
		text, err := readLimited(resp.Body)
		if err != nil {
			return mayPass(err), err
		}
		if resp.StatusCode != http.StatusOK {
			again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests
			text = bytes.ReplaceAll(text, []byte(cr.token.Reveal()), []byte(redacted)) // some servers repeat what they refuse
			return again, &SignError{App: cr.App, StatusCode: resp.StatusCode, Detail: signDetail(resp, text)}
		}
		var doc struct{ Certificate string }
		if json.Unmarshal(text, &doc) != nil || doc.Certificate == "" {
			return false, fmt.Errorf("access: %s answered with something else than a certificate (%q)", redactQuery(req.URL), cut(resp.Header.Get("Content-Type")))
		}
		certificate = doc.Certificate
		return false, nil
	})
	return certificate, err
}

// signDetail finds the reason in an answer that may be JSON, text or a page.
func signDetail(resp *http.Response, body []byte) string {
	var doc struct{ Message string }
	if json.Unmarshal(body, &doc) == nil {
		return cut(doc.Message)
	}
	if strings.Contains(resp.Header.Get("Content-Type"), "html") {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(bytes.ToValidUTF8(body, nil))), "\n")
	return cut(line)
}
