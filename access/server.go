package access

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// This file reads authorization server metadata (RFC 8414) and registers clients
// (RFC 7591).

// serverMetadata is what we use of the document [doc: authenticate coding agents,
// step 3].
type serverMetadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	RegistrationEndpoint  string   `json:"registration_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	GrantTypes            []string `json:"grant_types_supported"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	NamesItself           bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3
}

// server fetches and checks the metadata of the authorization server at issuer.
func (c *Client) server(ctx context.Context, app App, issuer *url.URL) (*serverMetadata, error) {
	u := serverURL(issuer)
	var m *serverMetadata
	err := retry(ctx, func() (again bool, err error) {
		m, err = getJSON[serverMetadata](ctx, c, u)
		return err != nil && mayPass(err), err
	})
	if err == nil {
		err = m.check(app, issuer)
	}
	if err != nil {
		return nil, &DiscoveryError{Origin: app.Origin, Step: "authorization server metadata", Err: err}
	}
	return m, nil
}

// serverURL returns where the metadata of issuer is (RFC 8414 §3.1).
func serverURL(issuer *url.URL) *url.URL {
	return &url.URL{Scheme: issuer.Scheme, Host: issuer.Host,
		Path: "/.well-known/oauth-authorization-server" + strings.TrimSuffix(issuer.Path, "/")}
}

func (m *serverMetadata) check(app App, issuer *url.URL) error {
	// The issuer was seen with and without its scheme; RFC 8414 §3.3 wants it
	// identical to the URL that was asked.
	if !sameIssuer(m.Issuer, issuer) {
		return fmt.Errorf("it is the document of issuer %q", cut(m.Issuer))
	}
	var first *url.URL
	for _, e := range []struct {
		name, raw string
		optional  bool
	}{
		{"authorization", m.AuthorizationEndpoint, false}, {"token", m.TokenEndpoint, false},
		{"registration", m.RegistrationEndpoint, true}, {"revocation", m.RevocationEndpoint, true},
	} {
		if e.raw == "" && e.optional {
			continue
		}
		u, err := documentURL(e.raw)
		// A query would stand before ours, with a resource or a redirect_uri that
		// the server might take instead.
		if err != nil || u.Scheme != "https" || strings.Contains(e.raw, "?") {
			return fmt.Errorf("its %s endpoint %q is no https URL without a query", e.name, cut(e.raw))
		}
		if !sameOrigin(u, issuer) && !sameOrigin(u, teamURL(app.Team, "/")) {
			return fmt.Errorf("its %s endpoint is on another host, %q", e.name, cut(u.Host))
		}
		// What the person gets at the one must not be taken to the other (RFC 9700
		// §4.4, mix-up).
		if first == nil {
			first = u
		}
		if !sameOrigin(u, first) {
			return fmt.Errorf("its %s endpoint is not where its authorization endpoint is", e.name)
		}
	}
	// RFC 8414 §2 gives absent lists a default: of the two methods it excludes what we
	// need, of the grants it includes it.
	switch {
	case !slices.Contains(m.ChallengeMethods, "S256"):
		return errors.New("it does not offer PKCE with S256")
	case !slices.Contains(m.AuthMethods, "none"):
		return errors.New("it admits no public clients")
	case len(m.GrantTypes) > 0 && !slices.Contains(m.GrantTypes, "authorization_code"):
		return errors.New("it does not offer the authorization code grant")
	}
	return nil
}

func sameIssuer(got string, want *url.URL) bool {
	got = strings.TrimSuffix(got, "/")
	full := strings.TrimSuffix(want.String(), "/")
	return got == full || got == strings.TrimPrefix(full, "https://")
}

// registration is the Store's form of a registered client. The id is no secret,
// but a server may hand out a secret with it.
type registration struct {
	Version     int       `json:"v"`
	Issuer      string    `json:"issuer"`
	ClientID    string    `json:"client_id"`
	RedirectURI string    `json:"redirect_uri"`
	Registered  time.Time `json:"registered"`
}

func registrationKey(app App) string { return "client/" + app.Team + "/" + string(app.Origin) }

func (c *Client) loadRegistration(ctx context.Context, app App, issuer string) (registration, error) {
	var r registration
	b, err := c.cfg.Store.Get(ctx, registrationKey(app))
	if errors.Is(err, fs.ErrNotExist) {
		return r, errNoSession
	}
	if err != nil {
		return r, err
	}
	if json.Unmarshal(b, &r) != nil || r.Version != 1 || r.Issuer != issuer || r.ClientID == "" {
		return registration{}, errNoSession
	}
	return r, nil
}

// NoRegistrationError says that the authorization server registers nobody, so that
// a client id from the administrator is needed (Config.ClientID).
type NoRegistrationError struct{ App App }

func (e *NoRegistrationError) Error() string {
	return fmt.Sprintf("access: the authorization server of %s offers no client registration", e.App.Origin.Host())
}

// register makes this program known to the server under one redirect URI.
func (c *Client) register(ctx context.Context, app App, m *serverMetadata, resource, redirectURI string) (registration, error) {
	if m.RegistrationEndpoint == "" {
		return registration{}, &NoRegistrationError{App: app}
	}
	// Both grants: the guide registers the first alone and refreshes all the
	// same, but a server may hold us to what was registered.
	body, err := json.Marshal(map[string]any{
		"client_name":                "gitaccess",
		"redirect_uris":              []string{redirectURI},
		"token_endpoint_auth_method": "none",
		"grant_types":                []string{"authorization_code", "refresh_token"},
		"response_types":             []string{"code"},
		"resource":                   resource,
	})
	if err != nil {
		return registration{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.RegistrationEndpoint, bytes.NewReader(body))
	if err != nil {
		return registration{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := c.do(ctx, req)
	if err != nil {
		return registration{}, &DiscoveryError{Origin: app.Origin, Step: "registration", Err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 && resp.StatusCode < 500 {
		if e := readOAuthError(resp); e != nil {
			return registration{}, &OAuthError{App: app, Step: "registration", Code: e.Code, Description: cut(e.Description)}
		}
	}
	id, err := readClientID(resp)
	if err != nil {
		return registration{}, &DiscoveryError{Origin: app.Origin, Step: "registration", Err: err}
	}
	r := registration{1, m.Issuer, id, redirectURI, c.now().UTC()}
	b, err := json.Marshal(r)
	if err != nil {
		return registration{}, err
	}
	return r, c.cfg.Store.Put(ctx, registrationKey(app), b)
}

// readClientID reads the answer to a registration (RFC 7591 §3.2.1). The rest of it
// repeats what was asked for.
func readClientID(resp *http.Response) (string, error) {
	got, err := decodeJSON[struct {
		ID string `json:"client_id"`
	}](resp, http.StatusOK, http.StatusCreated)
	switch {
	case err != nil:
		return "", err
	case got.ID == "":
		return "", errors.New("no client_id in the answer")
	case len(got.ID) > maxURL || !visible(got.ID): // RFC 6749 A.1, which has a space besides
		return "", fmt.Errorf("client_id %q in the answer", cut(got.ID))
	}
	return got.ID, nil
}

// redirectRefused reports whether the server refused the registration for its
// redirect URI: administrators allow "localhost" and "127.0.0.1" separately
// [doc: managed OAuth], and the refusal was seen as invalid_client_metadata;
// RFC 7591 §3.2.2 has invalid_redirect_uri.
func redirectRefused(err error) bool {
	var e *OAuthError
	return errors.As(err, &e) && e.Step == "registration" &&
		(e.Code == "invalid_redirect_uri" || e.Code == "invalid_client_metadata")
}

// OAuthError is an error that the authorization server named (RFC 6749 §5.2).
type OAuthError struct {
	App         App
	Step        string // "registration", "authorization", "token", "refresh"
	Code        string // "invalid_grant"
	Description string // the server's words, cut
}

func (e *OAuthError) Error() string {
	s := fmt.Sprintf("access: %s for %s: the authorization server says %q", e.Step, e.App.Origin.Host(), cut(e.Code))
	if e.Description != "" {
		s += fmt.Sprintf(" (%q)", e.Description)
	}
	return s
}

type oauthErrorBody struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

func readOAuthError(resp *http.Response) *oauthErrorBody {
	body := peek(resp)
	var e oauthErrorBody
	if json.Unmarshal(body, &e) != nil || e.Code == "" {
		return nil
	}
	return &e
}
