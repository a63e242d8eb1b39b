package sshproxy

import (
	"context"
	"crypto"
	"math"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentTime bounds each of our dealings with an agent: one that asks a person, or
// hangs, must not keep ssh from its other keys.
const agentTime = 5 * time.Second

// agentConn is a connection to an agent (draft-miller-ssh-agent).
type agentConn struct {
	conn   net.Conn
	client agent.ExtendedAgent
}

// dialAgent returns nil where no agent can be used.
func (id *Identity) dialAgent(ctx context.Context) *agentConn {
	// gpg-agent asks for a passphrase for each key, and keeps the key for good
	// (gpg-agent(1), --enable-ssh-support).
	if id.Agent == "" || filepath.Base(id.Agent) == "S.gpg-agent.ssh" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, agentTime)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", id.Agent)
	if err != nil {
		return nil
	}
	return &agentConn{conn, agent.NewClient(conn)}
}

func (a *agentConn) close() { a.conn.Close() }

// begin gives the next dealing its time. It is counted from now and not from when the
// connection was made: a login may lie in between. An error of it is one of the
// connection, which the dealing will meet.
func (a *agentConn) begin() { _ = a.conn.SetDeadline(time.Now().Add(agentTime)) }

// inAgent reports whether the agent has the certificate and its key.
func (id *Identity) inAgent(ctx context.Context, cert *ssh.Certificate) bool {
	a := id.dialAgent(ctx)
	if a == nil {
		return false
	}
	defer a.close()
	a.begin()
	keys, err := a.client.List()
	if err != nil {
		return false
	}
	found := 0
	for _, k := range keys {
		if b := string(k.Blob); b == string(cert.Marshal()) || b == string(cert.Key.Marshal()) {
			found++
		}
	}
	return found >= 2
}

// add gives the agent the key, and the key with the certificate, as ssh-add does:
// ssh asks for the former once it knows the latter by its file. Both end with the
// certificate.
func (a *agentConn) add(key crypto.Signer, cert *ssh.Certificate, comment string, life time.Duration) error {
	a.begin()
	lifetime := uint32(min(math.Ceil(life.Seconds()), math.MaxUint32))
	for _, c := range []*ssh.Certificate{nil, cert} {
		err := a.client.Add(agent.AddedKey{PrivateKey: key, Certificate: c, Comment: comment, LifetimeSecs: lifetime})
		if err != nil {
			if c != nil {
				_ = a.client.Remove(cert.Key)
			}
			return err
		}
	}
	return nil
}

// forget removes what has the comment, but for the keys to keep. Agents that know
// lifetimes have forgotten it themselves by then.
func (a *agentConn) forget(comment string, keep ...ssh.PublicKey) {
	a.begin()
	keys, err := a.client.List()
	if err != nil {
		return
	}
next:
	for _, k := range keys {
		if k.Comment != comment {
			continue
		}
		public, err := ssh.ParsePublicKey(k.Blob)
		if err != nil {
			continue
		}
		plain := public
		if cert, ok := public.(*ssh.Certificate); ok {
			plain = cert.Key
		}
		for _, other := range keep {
			if sameKey(plain, other) {
				continue next
			}
		}
		_ = a.client.Remove(public)
	}
}
