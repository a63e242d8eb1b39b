package door

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// proxyError says that the proxy of the environment did not connect us.
type proxyError struct {
	Proxy  string // host:port
	Status int
}

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy %s answered %d %s", e.Proxy, e.Status, http.StatusText(e.Status))
}

// proxyAnswered gives the answer of a proxy a type; net/http has only its text.
func proxyAnswered(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{Proxy: proxy.Host, Status: resp.StatusCode}
}

func (e *proxyError) hint() string {
	if e.Status == http.StatusProxyAuthRequired {
		return "the proxy wants a name and a password: HTTPS_PROXY=http://USER:PASSWORD@" + e.Proxy
	}
	return "the proxy in HTTPS_PROXY or ALL_PROXY did not let the connection through"
}
