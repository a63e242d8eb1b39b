package accesstest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"time"
)

// StartSOCKS adds a SOCKS5 proxy (RFC 1928, 1929) that leads where the HTTP
// proxy leads, by the same switches, and returns its URL. [Server.Close] ends it.
func (s *Server) StartSOCKS() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.socks = append(s.socks, l)
	closed := s.closed
	s.mu.Unlock()
	if closed {
		l.Close()
		return "", net.ErrClosed
	}
	s.serve(func() error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			s.mu.Lock()
			s.conns[c] = struct{}{}
			if s.closed {
				c.Close()
			}
			s.mu.Unlock()
			s.serve(func() error { return s.serveSOCKS(c) })
		}
	})
	return "socks5h://" + l.Addr().String(), nil
}

// Answers of RFC 1928 §6.
const (
	socksGranted    = 0
	socksRefused    = 2
	socksNoHost     = 4
	socksNoCommand  = 7
	socksNoAddrType = 8
)

func (s *Server) serveSOCKS(c net.Conn) error {
	handed := false
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		if !handed {
			c.Close()
		}
	}()
	c.SetDeadline(time.Now().Add(time.Minute))
	br := bufio.NewReader(c)
	sw := s.edge.switches()
	if err := socksLogin(c, br, sw.ProxyLogin); err != nil {
		return err
	}
	target, err := socksTarget(br)
	answer := func(code byte) { c.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0}) }
	if err != nil {
		var code socksError
		if errors.As(err, &code) {
			answer(byte(code))
		}
		return err
	}
	switch toward, up, err := s.route(target, sw); {
	case err != nil:
		answer(socksNoHost)
		return err
	case toward == refusedTarget:
		answer(socksRefused)
	case toward == loopbackTarget:
		answer(socksGranted)
		c.SetDeadline(time.Time{})
		s.join(up, c, &prefixed{c, buffered(br)})
	default:
		answer(socksGranted)
		c.SetDeadline(time.Time{})
		handed = true
		s.hand(s.edge.connection(&prefixed{c, buffered(br)}, target, nil))
	}
	return nil
}

type socksError byte

func (e socksError) Error() string { return "socks: refused with " + strconv.Itoa(int(e)) }

// socksLogin agrees on a method; want is user:password, empty for none.
func socksLogin(c net.Conn, br *bufio.Reader, want string) error {
	head := make([]byte, 2)
	if _, err := io.ReadFull(br, head); err != nil {
		return err
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(br, methods); err != nil {
		return err
	}
	method := byte(0)
	if want != "" {
		method = 2
	}
	offered := false
	for _, m := range methods {
		offered = offered || m == method
	}
	if head[0] != 5 || !offered {
		c.Write([]byte{5, 0xff})
		return errors.New("socks: no method in common")
	}
	if _, err := c.Write([]byte{5, method}); err != nil || method == 0 {
		return err
	}
	version, err := br.ReadByte()
	if err != nil {
		return err
	}
	user, err := socksString(br)
	if err != nil {
		return err
	}
	password, err := socksString(br)
	if err != nil {
		return err
	}
	if version != 1 || user+":"+password != want {
		c.Write([]byte{1, 1})
		return errors.New("socks: wrong login")
	}
	_, err = c.Write([]byte{1, 0})
	return err
}

func socksString(br *bufio.Reader) (string, error) {
	n, err := br.ReadByte()
	if err != nil {
		return "", err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(br, b)
	return string(b), err
}

func socksTarget(br *bufio.Reader) (string, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(br, head); err != nil {
		return "", err
	}
	var host string
	var err error
	switch head[3] {
	case 1, 4:
		ip := make(net.IP, 4)
		if head[3] == 4 {
			ip = make(net.IP, 16)
		}
		_, err = io.ReadFull(br, ip)
		host = ip.String()
	case 3:
		host, err = socksString(br)
	default:
		return "", socksError(socksNoAddrType)
	}
	if err != nil {
		return "", err
	}
	var port [2]byte
	if _, err := io.ReadFull(br, port[:]); err != nil {
		return "", err
	}
	if head[1] != 1 {
		return "", socksError(socksNoCommand)
	}
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port[:])))), nil
}

func buffered(br *bufio.Reader) []byte {
	b, _ := br.Peek(br.Buffered())
	return append([]byte(nil), b...)
}
