package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A BoundServiceToken is a service token and the hosts that it may go to.
type BoundServiceToken struct {
	ClientID string // "….access"
	Secret   Secret
	// Hosts are host names, "host:port", or "*.example.com", which matches one
	// label, as in certificates. Without a port, 443 is meant.
	Hosts []string
	// Source says in words where the token comes from, for messages:
	// "CF_ACCESS_CLIENT_ID".
	Source string
}

// String does not show the secret.
func (t BoundServiceToken) String() string { return t.ClientID }

// BoundTo reports whether the token may go to o without a person naming it.
func (t BoundServiceToken) BoundTo(o Origin) bool { return boundTo(t.Hosts, o) }

// boundTo reports whether one of the patterns names o.
func boundTo(patterns []string, o Origin) bool {
	host := o.Host()
	for _, p := range patterns {
		p = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(p), "."))
		if h, port, err := net.SplitHostPort(p); err == nil && port == "443" {
			p = h
		}
		if p == "" {
			continue
		}
		if p == host {
			return true
		}
		if rest, ok := strings.CutPrefix(p, "*."); ok && strings.Count(rest, ".") > 0 {
			if label, parent, ok := strings.Cut(host, "."); ok && label != "" && parent == rest {
				return true
			}
		}
	}
	return false
}

// tokenSecret is the form of secrets that were made since 2026-08-26: cfast_, 40
// alphanumeric characters, 8 of checksum [doc: service tokens]. Older ones are 64
// hexadecimal digits and keep working.
var tokenSecret = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(cfast_[0-9A-Za-z]{48}|[0-9a-f]{64})$`) })

// notInServiceToken are what copying and shells leave around a value.
const notInServiceToken = " \t\r\n\"'"

// CheckServiceToken reports what looks wrong about a client id and secret: empty,
// exchanged, with white space or quotes around. A secret of unknown form is
// suspicious but may be right, so that is left to the server.
func CheckServiceToken(id string, secret Secret) error {
	s := secret.Reveal()
	switch {
	case id == "":
		return errors.New("access: the service token has a client secret and no client id")
	case s == "":
		return errors.New("access: the service token has a client id and no client secret")
	case strings.ContainsAny(id, notInServiceToken):
		return errors.New("access: there is white space, a line break or a quote in the client id of the service token")
	case strings.ContainsAny(s, notInServiceToken):
		return errors.New("access: there is white space, a line break or a quote in the client secret of the service token")
	case strings.HasSuffix(s, ".access") || tokenSecret().MatchString(id):
		return errors.New("access: client id and client secret of the service token seem to be exchanged")
	case strings.HasPrefix(s, "cfast_") && !tokenSecret().MatchString(s):
		return errors.New("access: the client secret begins with cfast_ but is not 54 characters long: was all of it copied?")
	}
	return nil
}

// storedServiceToken is the Store's form of one.
type storedServiceToken struct {
	Version  int       `json:"v"`
	Origin   Origin    `json:"origin"`
	ClientID string    `json:"client_id"`
	Secret   string    `json:"client_secret"`
	Added    time.Time `json:"added"`
	Expiry   time.Time `json:"expiry,omitzero"`
}

const serviceTokenPrefix = "service-token/"

// ServiceTokenInfo describes a stored service token.
type ServiceTokenInfo struct {
	Origin   Origin    `json:"origin"`
	ClientID string    `json:"client_id"`
	Added    time.Time `json:"added"`
	Expiry   time.Time `json:"expiry,omitzero"` // as the user told it; zero if unknown
}

// AddServiceToken stores a service token for o and for nothing else.
func (c *Client) AddServiceToken(ctx context.Context, o Origin, id string, secret Secret, expiry time.Time) error {
	if err := CheckServiceToken(id, secret); err != nil {
		return err
	}
	b, err := json.Marshal(storedServiceToken{1, o, id, secret.Reveal(), c.now().UTC(), expiry})
	if err != nil {
		return err
	}
	if err := c.cfg.Store.Put(ctx, serviceTokenPrefix+string(o), b); err != nil {
		return fmt.Errorf("access: store the service token: %w", err)
	}
	return c.updateHost(ctx, o, func(r *hostRecord) { r.ServiceToken = true })
}

// RemoveServiceToken forgets the service token of o; it reports whether there was
// one.
func (c *Client) RemoveServiceToken(ctx context.Context, o Origin) (bool, error) {
	_, err := c.cfg.Store.Get(ctx, serviceTokenPrefix+string(o))
	if errors.Is(err, fs.ErrNotExist) {
		return false, c.updateHost(ctx, o, func(r *hostRecord) { r.ServiceToken = false })
	}
	if err := c.cfg.Store.Delete(ctx, serviceTokenPrefix+string(o)); err != nil {
		return false, err
	}
	return true, c.updateHost(ctx, o, func(r *hostRecord) { r.ServiceToken = false })
}

// ServiceTokens lists the stored service tokens. One that cannot be read is left out,
// and err says why.
func (c *Client) ServiceTokens(ctx context.Context) (infos []ServiceTokenInfo, err error) {
	err = c.eachServiceToken(ctx, func(st storedServiceToken) {
		infos = append(infos, ServiceTokenInfo{st.Origin, st.ClientID, st.Added, st.Expiry})
	})
	return infos, err
}

// A StoredServiceToken is a stored service token with its secret, for another machine.
type StoredServiceToken struct {
	Origin   Origin
	ClientID string
	Secret   Secret
	Expiry   time.Time // as the user told it; zero if unknown
}

// StoredServiceTokens is [Client.ServiceTokens] with the secrets.
func (c *Client) StoredServiceTokens(ctx context.Context) (tokens []StoredServiceToken, err error) {
	err = c.eachServiceToken(ctx, func(st storedServiceToken) {
		tokens = append(tokens, StoredServiceToken{st.Origin, st.ClientID, NewSecret(st.Secret), st.Expiry})
	})
	return tokens, err
}

// eachServiceToken visits the stored service tokens that can be read.
func (c *Client) eachServiceToken(ctx context.Context, visit func(storedServiceToken)) error {
	keys, err := c.cfg.Store.List(ctx, serviceTokenPrefix)
	if err != nil {
		return err
	}
	var errs []error
	for _, k := range keys {
		st, err := c.loadServiceToken(ctx, Origin(strings.TrimPrefix(k, serviceTokenPrefix)))
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			errs = append(errs, err)
		default:
			visit(st)
		}
	}
	return errors.Join(errs...)
}

func (c *Client) loadServiceToken(ctx context.Context, o Origin) (storedServiceToken, error) {
	var st storedServiceToken
	b, err := c.cfg.Store.Get(ctx, serviceTokenPrefix+string(o))
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(b, &st); err != nil || st.Version != 1 {
		return st, fmt.Errorf("access: the stored service token of %s is unreadable", o.Host())
	}
	if st.Origin != o {
		return st, fmt.Errorf("access: the stored service token of %s names another host", o.Host())
	}
	return st, nil
}

// serviceToken returns the service token bound to o: one of the environment
// first, so that a job decides for itself, then the stored one.
func (c *Client) serviceToken(ctx context.Context, o Origin, r *hostRecord, p Policy) (Credential, bool, error) {
	app := App{Origin: o, Mode: ModeServiceToken}
	for _, t := range c.cfg.ServiceTokens {
		if p.Named == o || boundTo(t.Hosts, o) {
			if err := CheckServiceToken(t.ClientID, t.Secret); err != nil {
				return Credential{}, false, fmt.Errorf("%w (%s)", err, t.Source)
			}
			return Credential{Kind: ServiceToken, App: app, clientID: t.ClientID, secret: t.Secret, source: t.Source}, true, nil
		}
	}
	// The record says whether the Store has one, so that a warm call with a
	// session asks the Store once. Without a record, look.
	if !r.ServiceToken && len(r.Apps) > 0 {
		return Credential{}, false, nil
	}
	st, err := c.loadServiceToken(ctx, o)
	if errors.Is(err, fs.ErrNotExist) {
		return Credential{}, false, nil
	}
	if err != nil {
		return Credential{}, false, err
	}
	return Credential{Kind: ServiceToken, App: app, Expiry: time.Time{}, clientID: st.ClientID, secret: NewSecret(st.Secret)}, true, nil
}
