package door

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/keystore"
)

// Explain adds to an error whose turn it is and what to type next, and the exit
// code. Errors that it does not know it returns as they are.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*cli.Error); ok && e.Err == nil {
		return err // the code of a child that has spoken for itself
	}
	hints, code := explain(err)
	return &cli.Error{Err: spoken{err, essence(err)}, Hints: hints, Code: code}
}

// essence is the part of an error that tells the cause: what was being done when
// Access refused ("dial git.example.com") adds nothing to it.
func essence(err error) error {
	var (
		login   *access.LoginRequiredError
		refused *access.RefusedError
		team    *access.TeamChangedError
		timeout *access.LoginTimeoutError
		renewal *access.RenewalError
		busy    *access.BusyError
		noReg   *access.NoRegistrationError
		oauth   *access.OAuthError
		found   *access.DiscoveryError
	)
	switch {
	case errors.As(err, &login):
		return login
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &team):
		return team
	case errors.As(err, &timeout):
		return timeout
	case errors.As(err, &renewal):
		return renewal
	case errors.As(err, &busy):
		return busy
	case errors.As(err, &noReg):
		return noReg
	case errors.As(err, &oauth):
		return oauth
	case errors.As(err, &found):
		return found
	}
	return err
}

// spoken is an error as a person reads it: without the name of the Go package in
// front, since the program's name stands there.
type spoken struct{ err, shown error }

func (s spoken) Unwrap() error { return s.err }

func (s spoken) Error() string {
	text := s.shown.Error()
	for _, room := range []string{"access: ", "githelper: ", "sshproxy: ", "keystore: ", "lease: ", "state: "} {
		text = strings.TrimPrefix(text, room)
	}
	return text
}

func explain(err error) (hints []string, code int) {
	switch e := essence(err).(type) {
	case *access.LoginRequiredError:
		return explainLogin(e), cli.ExitLoginRequired
	case *access.RefusedError:
		return explainRefused(e), cli.ExitRefused
	case *access.TeamChangedError:
		return []string{
			"if your administrator moved the host to another team, accept it: access login --accept-team " + e.Now + " " + e.Origin.Host(),
			"if nobody told you so, do not: somebody may be posing as this host; ask your administrator",
		}, cli.ExitRefused
	case *access.LoginTimeoutError:
		return []string{"run the command again, or log in first: access login " + e.App.Origin.Host()}, cli.ExitLoginRequired
	case *access.RenewalError:
		if hints = explainNetwork(e.Err, e.App.Origin.Host()); hints == nil {
			hints = []string{"the server has trouble, or the network between; nothing is lost: try again in a moment"}
		}
		return hints, cli.ExitFailed
	case *access.BusyError:
		if e.PID == 0 { // kill 0 would end whoever types it
			return []string{"a program that uses the session is stopped or stuck and has not said which it is; let it go on or end it, then run the command again"}, cli.ExitFailed
		}
		return []string{fmt.Sprintf("process %d seems to be stopped or stuck; let it go on (fg, kill -CONT %d) or end it (kill %d), then run the command again", e.PID, e.PID, e.PID)}, cli.ExitFailed
	case *access.NoRegistrationError:
		return []string{
			"ask your administrator to allow dynamic client registration for this application, or for the client id of a registered client",
			"then: access login --client-id ID " + e.App.Origin.Host(),
		}, cli.ExitFailed
	case *access.OAuthError:
		return explainOAuth(e), cli.ExitFailed
	case *access.DiscoveryError:
		return explainNetwork(e.Err, e.Origin.Host()), cli.ExitFailed
	}
	return explainLocal(err), 0
}

func explainLogin(e *access.LoginRequiredError) []string {
	host := e.App.Origin.Host()
	var hints []string
	if e.URL != "" {
		hints = append(hints, fmt.Sprintf("process %d is waiting for this login; finish it, then run the command again: %s", e.PID, e.URL))
	}
	if e.Err != nil {
		// A renewal needs no person; what kept it from working may be all that is wrong.
		hints = append(hints, "the session could not be renewed: "+spoken{e.Err, e.Err}.Error())
		hints = append(hints, explainNetwork(e.Err, host)...)
	}
	hints = append(hints, "log in where you have a terminal: access login "+host)
	if e.Reason == "CI is set" {
		hints = append(hints, "in CI use a service token: set CF_ACCESS_CLIENT_ID, CF_ACCESS_CLIENT_SECRET and ACCESS_HOSTS="+host)
	}
	return hints
}

func explainRefused(e *access.RefusedError) []string {
	host := e.App.Origin.Host()
	switch e.Cause {
	case access.TokenNotAccepted:
		return []string{
			"this application probably has the Binding Cookie on, which only browsers can pass; your administrator can turn it off for this application (Access > application > cookie settings)",
			"a service token would pass: access service-token add " + host,
		}
	case access.ServiceTokenRequired:
		return []string{
			"ask your administrator for a service token of this application, then: access service-token add " + host,
			"or set CF_ACCESS_CLIENT_ID, CF_ACCESS_CLIENT_SECRET and ACCESS_HOSTS=" + host,
		}
	case access.ServiceTokenInvalid:
		return []string{
			"compare the client id with the one your administrator sees, check its expiry there, and whether it was disabled",
			newServiceToken(e.Source, host),
		}
	case access.ServiceTokenNotAllowed:
		return []string{"your administrator must add this token to a policy with the action Service Auth on this application"}
	case access.ServiceTokenRefused:
		hints := []string{
			"either the token is wrong, expired or disabled; " + newServiceToken(e.Source, host),
			"or it is in no policy whose action is Service Auth (an Allow policy does not admit service tokens): your administrator can add it",
		}
		if e.Source != TriedToken {
			hints = append(hints, "a person's login is not tried in its place; "+WithoutServiceToken(e.Source, host))
		}
		return hints
	case access.Denied:
		return []string{"your account is not admitted by the policies of this application; your administrator can say why", "to try another account: access login --fresh " + host}
	case access.NotWithOAuth:
		return []string{"an administrator can turn Managed OAuth off for this application, or give it a host name of its own"}
	case access.Blocked:
		return []string{"the zone's firewall rules stop this program before Access is asked; your administrator finds the event in the security log"}
	case access.TunnelDown:
		return []string{"the tunnel's connector on the server's side is not running or not connected; its administrator must start it"}
	case access.OriginDown:
		return []string{"the way up to the server works, the server itself does not answer; its administrator can see why"}
	case access.CaptivePortal:
		return []string{"open any web page in a browser and log in to this network first"}
	}
	return nil
}

// TriedToken is the source of a service token that is tried before it is stored, see [access.BoundServiceToken].
const TriedToken = "what was given"

// newServiceToken says where another service token has to go. A stored one comes after that of the environment.
func newServiceToken(source, host string) string {
	switch source {
	case "":
		return "store a new one: access service-token add " + host
	case TriedToken:
		return "were both halves copied as a whole, and for this host?"
	}
	return "put a new one where this one comes from: " + source
}

// WithoutServiceToken says how a person's session takes the place of the service token for host that comes from source, see
// [access.Credential.Source].
func WithoutServiceToken(source, host string) string {
	switch {
	case source == "":
		return "to use one, remove the token: access service-token remove " + host
	case strings.HasPrefix(source, "-"):
		return "to use one, leave out " + source
	}
	return "to use one, take the token out of the environment: unset " + strings.ReplaceAll(source, ",", "")
}

// explainOAuth has a line for each row of the troubleshooting table of
// "Authenticate coding agents", and for the errors of RFC 6749 beside them.
func explainOAuth(e *access.OAuthError) []string {
	host := e.App.Origin.Host()
	again := "log in again: access login " + host
	switch e.Code {
	case "invalid_grant":
		return []string{"the authorization expired or was used before; codes are single-use and short-lived", again}
	case "invalid_client", "unauthorized_client":
		return []string{"the authorization server no longer knows this client; the next login registers it anew", again}
	case "invalid_redirect_uri", "invalid_client_metadata":
		return []string{
			"your administrator must allow clients on localhost or on loopback addresses in the application's Managed OAuth settings",
			"or name a registered client: access login --client-id ID --redirect-url URL " + host,
		}
	case "invalid_request":
		return []string{"the authorization server did not understand the request; if it speaks of code_challenge_method, it misread the challenge", again}
	case "invalid_target":
		return []string{"the authorization server does not know this host as a resource; your administrator can check the application's domains"}
	case "temporarily_unavailable", "server_error":
		return []string{"the authorization server has trouble; try again in a moment"}
	}
	return []string{again}
}

// explainNetwork names what stands between this machine and a host.
func explainNetwork(err error, host string) []string {
	var (
		dns      *net.DNSError
		unknown  x509.UnknownAuthorityError
		name     x509.HostnameError
		invalid  x509.CertificateInvalidError
		record   tls.RecordHeaderError
		op       *net.OpError
		proxy    *proxyError
		alert    tls.AlertError
		deadline interface{ Timeout() bool }
	)
	switch {
	case errors.As(err, &proxy):
		return []string{proxy.hint()}
	case errors.As(err, &dns) && dns.IsNotFound:
		return []string{fmt.Sprintf("the name %q does not exist in the DNS that this machine asks; check the spelling, or whether a VPN or split DNS is needed", dns.Name)}
	case errors.As(err, &dns):
		return []string{"name resolution failed; is this machine online?"}
	case errors.As(err, &unknown):
		hint := "the server's certificate comes from an authority that this machine does not trust"
		if unknown.Cert != nil {
			hint += fmt.Sprintf(" (issuer %q)", unknown.Cert.Issuer.CommonName)
		}
		return []string{hint + "; if your company's proxy inspects TLS, name its authority: --ca-file FILE or SSL_CERT_FILE"}
	case errors.As(err, &name):
		return []string{fmt.Sprintf("something else than %s answered; a captive portal or a wrong DNS entry does this", host)}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return []string{fmt.Sprintf("the certificate is not valid now; is this machine's clock right? it says %s", time.Now().Format(time.RFC1123))}
	case errors.As(err, &record):
		return []string{"what answers there does not speak TLS; check the port and the proxy settings"}
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return []string{"the proxy in HTTPS_PROXY or ALL_PROXY, or git's http.proxy, is not there or did not let the connection through"}
	case errors.As(err, &deadline) && deadline.Timeout() && !errors.Is(err, context.Canceled):
		return []string{"no answer in time; a firewall may drop the packets, or a proxy is needed (HTTPS_PROXY)"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return []string{fmt.Sprintf("the connection was broken off before %s had answered; try again in a moment; if it goes on, a firewall, proxy or VPN between may be doing it", host)}
	case errors.As(err, &op) && op.Op == "dial":
		return []string{fmt.Sprintf("%s cannot be reached from here; check its name and port, and whether a VPN or a proxy (HTTPS_PROXY) is needed", host)}
	case errors.As(err, &alert), strings.Contains(err.Error(), ": tls: "):
		return []string{"what came over the connection was garbled; a proxy or VPN between may be doing it"}
	}
	return nil
}

// explainLocal is about this machine.
func explainLocal(err error) []string {
	var (
		locked   *keystore.LockedError
		slow     *keystore.TimeoutError
		sealed   *keystore.SealedError
		newer    *keystore.NewerError
		unusable *keystore.UnusableError
		corrupt  *keystore.CorruptError

		newerLogins *githelper.NewerLoginsError
	)
	switch {
	case errors.As(err, &locked):
		return []string{"unlock the keyring and try again, or choose another store: ACCESS_KEYSTORE=file"}
	case errors.As(err, &slow):
		return []string{"the keyring hangs, or waits for somebody to unlock it; look for its window, or choose another store: ACCESS_KEYSTORE=file"}
	case errors.As(err, &sealed):
		return []string{"the file store was sealed with a key: set ACCESS_KEYSTORE_KEY_FILE or ACCESS_KEYSTORE_PASSPHRASE as when it was written"}
	case errors.As(err, &newer), errors.As(err, &newerLogins):
		return []string{"use the newer version that wrote it; nothing was erased"}
	case errors.As(err, &corrupt):
		return []string{"forget it and log in again: access logout --all; stored service tokens may have to be added again"}
	case errors.As(err, &unusable) && unusable.Backend != "file":
		return []string{"choose another store: ACCESS_KEYSTORE=file keeps secrets in files that only you can read"}
	}
	return explainNetwork(err, "the host")
}
