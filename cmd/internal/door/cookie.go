package door

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/gitaccess/gitaccess/access"
)

// TakesCookie finds out, by one request, whether the application at u accepts a
// person's session as a cookie. Those without Managed OAuth do; whether one with
// it does beside its own tokens is a setting that is not documented. The session
// is obtained as p allows, and stays for the next [access.Client.Credential] with
// Policy.JWT.
func (d *Door) TakesCookie(ctx context.Context, u *url.URL, p access.Policy) (bool, error) {
	p.JWT = true
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, u.String(), nil)
	if err != nil {
		return false, err
	}
	resp, err := d.Client.Transport(nil, p).RoundTrip(req)
	var refused *access.RefusedError
	if errors.As(err, &refused) && refused.Cause == access.NotWithOAuth {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, resp.Body.Close()
}
