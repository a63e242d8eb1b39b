package sshproxy

import (
	"context"
	"fmt"
	"net"
	"net/url"
)

// Dialer makes connections for whoever asks for a network and an address, such as
// golang.org/x/crypto/ssh and golang.org/x/net/proxy. It is safe for concurrent use
// as long as its fields are not changed.
type Dialer struct {
	// URL is the application to dial. Nil: https://HOST/ with the host of the
	// address that DialContext is given; its port is that of a service behind the
	// application and is not used.
	URL *url.URL

	// Jump makes the address that DialContext is given the destination behind URL,
	// see DialOptions.Destination.
	Jump bool

	// Options is how to dial. Nil: all defaults. It is not changed.
	Options *DialOptions
}

// Dial dials d.URL.
func (d *Dialer) Dial(ctx context.Context) (*Conn, error) {
	if d.URL == nil {
		return nil, fmt.Errorf("sshproxy: dialer without a URL")
	}
	return Dial(ctx, d.URL, d.Options)
}

// DialContext dials address, as the fields of d say. The network must be tcp, tcp4
// or tcp6; which of them does not matter, since the edge is what is dialled.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network)}
	}
	u, o := d.URL, d.Options
	if u == nil {
		if d.Jump {
			return nil, fmt.Errorf("sshproxy: a dialer that jumps needs the URL of the application")
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("sshproxy: %w", err)
		}
		if net.ParseIP(host) != nil && net.ParseIP(host).To4() == nil {
			host = "[" + host + "]"
		}
		u = &url.URL{Scheme: "https", Host: host, Path: "/"}
	}
	if d.Jump {
		options := DialOptions{}
		if o != nil {
			options = *o
		}
		options.Destination = address
		o = &options
	}
	conn, err := Dial(ctx, u, o)
	if err != nil {
		return nil, err
	}
	return conn, nil
}
