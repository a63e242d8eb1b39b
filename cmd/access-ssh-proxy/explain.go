package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/sshproxy"
)

// explain says what an error means and what to do about it.
func explain(err error) error {
	var cut *sshproxy.CutError
	if errors.As(err, &cut) {
		return door.Explain(&cli.Error{Err: cut, Hints: cutHints(cut)})
	}
	var handshake *sshproxy.HandshakeError
	if !errors.As(err, &handshake) {
		var refused *access.RefusedError
		if !errors.As(err, &refused) || refused.StatusCode != http.StatusNetworkAuthenticationRequired {
			return door.Explain(err)
		}
		handshake = &sshproxy.HandshakeError{URL: refused.App.Origin.URL().String(), StatusCode: refused.StatusCode}
	}
	u, perr := url.Parse(handshake.URL)
	if perr != nil {
		return door.Explain(err)
	}
	o, _ := access.OriginOf(u)
	app := access.App{Origin: o}
	answer := access.ReadAnswer(&http.Response{
		StatusCode: handshake.StatusCode, Header: handshake.Header,
		Body: io.NopCloser(bytes.NewReader(handshake.Body)), Request: &http.Request{URL: u},
	})
	refused := &access.RefusedError{App: app, StatusCode: handshake.StatusCode, Detail: answer.Detail}
	switch answer.Kind {
	case access.AnswerBlocked:
		refused.Cause = access.Blocked
	case access.AnswerTunnelDown:
		refused.Cause = access.TunnelDown
	case access.AnswerOriginDown:
		refused.Cause = access.OriginDown
	default:
		return &cli.Error{Err: fmt.Errorf("%s did not open a stream: %s", o.Host(), status(handshake)), Hints: hints(handshake, o.Host())}
	}
	return door.Explain(refused)
}

func status(e *sshproxy.HandshakeError) string {
	if e.Reason != "" {
		return e.Reason
	}
	return fmt.Sprintf("it answered with status %d %s", e.StatusCode, http.StatusText(e.StatusCode))
}

// hints are for answers that are not Access's: Access let the request pass, or
// something else answered.
func hints(e *sshproxy.HandshakeError, host string) []string {
	switch {
	case e.StatusCode == http.StatusOK || e.StatusCode == http.StatusNotFound:
		return []string{fmt.Sprintf("%s is a web server and no SSH or TCP application; check the name, and with your administrator what the tunnel serves there", host)}
	case e.StatusCode >= 300 && e.StatusCode < 400:
		return []string{"the server sends browsers elsewhere; check that this is the host of the SSH application, not of a web page, and that no captive portal of your network wants a login first"}
	case e.StatusCode == http.StatusNetworkAuthenticationRequired: // RFC 6585 section 6
		return []string{"a captive portal answers in place of the server: log in to the network with a browser first"}
	case e.StatusCode == http.StatusBadRequest || e.StatusCode == http.StatusUpgradeRequired:
		return []string{"WebSockets may be off for this zone; your administrator can switch them on (Network > WebSockets)"}
	case e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden:
		return []string{"Access let the request pass; the server behind it refused"}
	case e.StatusCode == http.StatusTooManyRequests:
		return []string{"too many connections in a short time; wait a moment"}
	}
	return nil
}

// cutHints are for connections that were lost.
func cutHints(cut *sshproxy.CutError) []string {
	var (
		silent *sshproxy.PingError
		closed *sshproxy.CloseError
		broken *sshproxy.ProtocolError
	)
	switch {
	case errors.As(cut, &silent):
		return []string{"the network on the way went dead; if the server was only busy, have more patience: --ping=2m, or --ping=0 for any"}
	case errors.As(cut, &closed) && (closed.Code == 1001 || closed.Code == 1012 || closed.Code == 1013):
		return []string{"the edge restarts its machines now and then, which ends what goes through them; connect again"}
	case errors.As(cut, &broken):
		return []string{"something on the way changes what is sent; a proxy that inspects TLS may"}
	case errors.Is(cut, sshproxy.ErrNoCloseFrame):
		return []string{"if the server had not ended by itself, the connection was lost on the way: connect again"}
	}
	return nil
}
