// Package sshproxy carries a byte stream, such as an SSH connection, through
// Cloudflare Access: it dials a WebSocket and relays bytes over it.
//
// [Dial] opens a [Conn], which is a [net.Conn]; [Relay] joins one to a pair of
// streams such as the standard input and output of an ssh ProxyCommand; [Serve]
// does so for each connection to a listener; [Dialer] fits wherever a DialContext
// function is asked for:
//
//	d := &sshproxy.Dialer{Options: &sshproxy.DialOptions{Transport: authenticated}}
//	conn, err := d.DialContext(ctx, "tcp", "git.example.com:22")
//	…
//	c, chans, reqs, err := ssh.NewClientConn(conn, "git.example.com:22", config)
//
// The package knows nothing of Access. Credentials are attached by the
// [http.RoundTripper] that the caller gives, which is also the one place that
// knows to which host they may go: Dial sends exactly one request to it and
// follows no redirect. Let that RoundTripper send by [NewTransport] and a Conn
// reaches its full speed.
//
//	base := sshproxy.NewTransport(nil)
//	o := &sshproxy.DialOptions{Transport: client.Transport(base, policy)} // an access.Client
//
// What ssh's own configuration says for such a host is a [HostConfig]; a key with a
// short-lived certificate, for servers that trust an authority in place of keys, is
// an [Identity].
//
// # Errors
//
// An answer that is no WebSocket is a [*HandshakeError], unless the RoundTripper
// makes an error of it, which errors.As then finds. A connection that is lost is a
// [*CutError] of Relay, with what had passed, around a [*PingError], [*CloseError],
// [*ProtocolError] or an error of the network.
//
// # On the wire
//
// A connection is the upgrade of RFC 6455 with neither subprotocol nor extension,
// then binary messages whose payloads, joined, are the stream: there is no framing
// of Access's own, see carrier/websocket.go and websocket/connection.go in
// https://github.com/cloudflare/cloudflared. Three things follow from how that
// connector, which sits in front of the origin, treats a WebSocket:
//
//   - It discards what a message holds beyond the first 16 KiB, silently
//     (Conn.Read in websocket/connection.go with the buffer of cfio/copy.go; seen
//     from outside in https://github.com/vm0-ai/vm0/pull/34424). No message of
//     ours is longer.
//   - It answers a ping from the goroutine that reads, without the lock under which
//     another goroutine writes the header and the payload of a data frame in two
//     steps. A pong in between corrupts the stream. So a Conn pings only when
//     nothing has arrived for a while, never during a download.
//   - A WebSocket has no half-close, and the connector ends both directions as soon
//     as one has ended, so the end of our input is not told to it. See [Relay] for
//     what that means to callers. When the origin has ended, the connector sends no
//     close frame, either; see [ErrNoCloseFrame].
package sshproxy
