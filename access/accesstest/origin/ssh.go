package origin

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// SSHOptions configure [StartSSH]. nil means that everyone may come in.
type SSHOptions struct {
	// AuthorizedKeys are the public keys that may log in, as any user.
	AuthorizedKeys []ssh.PublicKey
	// UserCA, if set, admits certificates signed by it whose principals
	// name the user. ssh: TrustedUserCAKeys.
	UserCA ssh.PublicKey
	// HostKey is the server's key. Default: a new ed25519 key.
	HostKey ssh.Signer
	// Program is the git to run. Default: "git" of PATH.
	Program string
}

// SSH is an SSH server that runs git-upload-pack, git-receive-pack and
// git-upload-archive below one folder, and nothing else: no shell, no
// forwarding, no files.
type SSH struct {
	root   string
	opt    SSHOptions
	config *ssh.ServerConfig
	l      net.Listener

	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	work   sync.WaitGroup
}

// StartSSH serves the repositories below root on a free port of 127.0.0.1.
// Without keys and CA in o everyone may log in, without any proof.
func StartSSH(root string, o *SSHOptions) (*SSH, error) {
	s := &SSH{conns: map[net.Conn]struct{}{}}
	if o != nil {
		s.opt = *o
	}
	var err error
	if s.root, err = filepath.Abs(root); err != nil {
		return nil, err
	}
	if s.opt.HostKey == nil {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		if s.opt.HostKey, err = ssh.NewSignerFromKey(key); err != nil {
			return nil, err
		}
	}
	s.config = &ssh.ServerConfig{NoClientAuth: s.opt.AuthorizedKeys == nil && s.opt.UserCA == nil, ServerVersion: "SSH-2.0-origin"}
	s.config.PublicKeyCallback = s.authorize
	s.config.AddHostKey(s.opt.HostKey)
	if s.l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.work.Add(1)
	go s.serve()
	return s, nil
}

// Addr is where the server listens.
func (s *SSH) Addr() string { return s.l.Addr().String() }

// KnownHosts is the line of a known_hosts file for the server under this name.
func (s *SSH) KnownHosts(name string) string {
	return name + " " + string(ssh.MarshalAuthorizedKey(s.opt.HostKey.PublicKey()))
}

// Close ends the server and its sessions, and waits for them.
func (s *SSH) Close() error {
	s.cancel()
	s.l.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
	return nil
}

func (s *SSH) authorize(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	same := func(k ssh.PublicKey) bool { return string(k.Marshal()) == string(key.Marshal()) }
	if cert, ok := key.(*ssh.Certificate); ok && s.opt.UserCA != nil {
		checker := ssh.CertChecker{IsUserAuthority: func(k ssh.PublicKey) bool {
			return string(k.Marshal()) == string(s.opt.UserCA.Marshal())
		}}
		// An empty list of principals would be good for every user.
		if len(cert.ValidPrincipals) == 0 {
			return nil, errors.New("certificate without principals")
		}
		return checker.Authenticate(c, key)
	}
	if slices.ContainsFunc(s.opt.AuthorizedKeys, same) || s.config.NoClientAuth {
		return nil, nil
	}
	return nil, errors.New("key is not authorized")
}

func (s *SSH) serve() {
	defer s.work.Done()
	for {
		conn, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
		s.work.Go(func() {
			s.handle(conn)
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
		if s.ctx.Err() != nil {
			conn.Close()
		}
	}
}

func (s *SSH) handle(conn net.Conn) {
	defer conn.Close()
	sc, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { ssh.DiscardRequests(requests) })
	for nc := range channels {
		if nc.ChannelType() != "session" {
			nc.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		ch, reqs, err := nc.Accept()
		if err != nil {
			continue
		}
		work.Go(func() { s.session(sc, ch, reqs) })
	}
}

func (s *SSH) session(sc *ssh.ServerConn, ch ssh.Channel, reqs <-chan *ssh.Request) {
	defer ch.Close()
	protocol := ""
	for req := range reqs {
		switch req.Type {
		case "env":
			var v struct{ Name, Value string }
			ok := ssh.Unmarshal(req.Payload, &v) == nil && v.Name == "GIT_PROTOCOL"
			if ok {
				protocol = v.Value
			}
			req.Reply(ok, nil)
		case "exec":
			var v struct{ Command string }
			if err := ssh.Unmarshal(req.Payload, &v); err != nil {
				req.Reply(false, nil)
				return
			}
			req.Reply(true, nil)
			go ssh.DiscardRequests(reqs)
			s.end(ch, s.run(ch, v.Command, protocol))
			return
		case "shell":
			req.Reply(true, nil)
			go ssh.DiscardRequests(reqs)
			fmt.Fprintf(ch.Stderr(), "Hello %s, you are through. This server has git and no shell.\r\n", sc.User())
			s.end(ch, 1)
			return
		default:
			// A terminal (pty-req) may be asked for before the shell.
			if req.WantReply {
				req.Reply(req.Type == "pty-req", nil)
			}
		}
	}
}

func (s *SSH) end(ch ssh.Channel, status int) {
	ch.SendRequest("exit-status", false, binary.BigEndian.AppendUint32(nil, uint32(status)))
}

// run serves one git command and returns its exit status.
func (s *SSH) run(ch ssh.Channel, command, protocol string) int {
	verb, repo, err := parse(command)
	if err != nil {
		fmt.Fprintf(ch.Stderr(), "origin: %v\n", err)
		return 128
	}
	cmd := exec.CommandContext(s.ctx, program(s.opt.Program), verb, filepath.Join(s.root, filepath.FromSlash(path.Clean("/"+repo))))
	cmd.Env = append(environ(), "GIT_PROTOCOL="+protocol, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	// Not cmd.Stdin: Wait would wait for the client to close its side, and
	// the client waits for the exit status.
	in, err := cmd.StdinPipe()
	if err != nil {
		return 128
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(ch.Stderr(), "origin: %v\n", err)
		return 128
	}
	s.work.Go(func() {
		io.Copy(in, ch)
		in.Close()
	})
	if err := cmd.Wait(); err != nil {
		if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() >= 0 {
			return exit.ExitCode()
		}
		return 128
	}
	return 0
}

// parse reads git's command line: a verb, and one path in single quotes.
func parse(command string) (verb, repo string, err error) {
	verb, rest, _ := strings.Cut(strings.TrimSpace(command), " ")
	if verb == "git" {
		v, r, _ := strings.Cut(rest, " ")
		verb, rest = "git-"+v, r
	}
	switch verb {
	case "git-upload-pack", "git-receive-pack", "git-upload-archive":
	default:
		return "", "", fmt.Errorf("this server runs git commands and nothing else")
	}
	if repo, err = unquote(strings.TrimSpace(rest)); err != nil {
		return "", "", err
	}
	return strings.TrimPrefix(verb, "git-"), repo, nil
}

// unquote undoes git's shell quoting: 'it'\”s'.
func unquote(s string) (string, error) {
	if !strings.HasPrefix(s, "'") {
		if s == "" || strings.ContainsAny(s, "'\"\\ \t$`;&|<>") {
			return "", errors.New("the path is not quoted")
		}
		return s, nil
	}
	var b strings.Builder
	for {
		inner, rest, ok := strings.Cut(s[1:], "'")
		b.WriteString(inner)
		switch {
		case !ok:
			return "", errors.New("the path's quotes do not end")
		case rest == "":
			return b.String(), nil
		case strings.HasPrefix(rest, `\''`), strings.HasPrefix(rest, `\!'`):
			b.WriteByte(rest[1])
			s = rest[2:]
		default:
			return "", errors.New("more than a path")
		}
	}
}
