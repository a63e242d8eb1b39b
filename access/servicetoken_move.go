package access

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"
)

// A StoredServiceToken is a service token that is kept, with its secret, for moving it to another machine.
type StoredServiceToken struct {
	Origin   Origin
	ClientID string
	Secret   Secret
	Expiry   time.Time // as the user told it; zero if unknown
}

// StoredServiceTokens returns the stored service tokens with their secrets. Those that cannot be read are left out, and err says why.
func (c *Client) StoredServiceTokens(ctx context.Context) ([]StoredServiceToken, error) {
	keys, err := c.cfg.Store.List(ctx, serviceTokenPrefix)
	if err != nil {
		return nil, err
	}
	var tokens []StoredServiceToken
	var errs []error
	for _, k := range keys {
		st, err := c.loadServiceToken(ctx, Origin(strings.TrimPrefix(k, serviceTokenPrefix)))
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			errs = append(errs, err)
		default:
			tokens = append(tokens, StoredServiceToken{st.Origin, st.ClientID, NewSecret(st.Secret), st.Expiry})
		}
	}
	return tokens, errors.Join(errs...)
}
