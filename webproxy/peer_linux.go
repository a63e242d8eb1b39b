package webproxy

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Numbers of <linux/sock_diag.h> and <linux/inet_diag.h>; see sock_diag(7).
const (
	sockDiagByFamily = 20
	requestLength    = unix.NLMSG_HDRLEN + 56
	stateOffset      = unix.NLMSG_HDRLEN + 1
	uidOffset        = unix.NLMSG_HDRLEN + 4 + 48 + 12 // after family, state, timer, retrans; id; expires, rqueue, wqueue
	inodeOffset      = uidOffset + 4
	stateEstablished = 1
	stateListen      = 10
)

var (
	errNoPeer = errors.New("webproxy: the kernel does not tell whose connection it is")
	errGone   = errors.New("webproxy: the other end is nobody's any more")
)

// peerUID asks the kernel for the user who opened the other end of a loopback
// connection. An end that was closed meanwhile has no inode, and in some states the
// user 0; one that was reset is unknown.
func peerUID(c net.Conn) (uid uint32, err error) {
	remote, ok1 := c.RemoteAddr().(*net.TCPAddr)
	local, ok2 := c.LocalAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		return 0, errNoPeer
	}
	answer, err := socketAt(remote, local)
	if errors.Is(err, unix.ENOENT) && ended(local, remote) {
		return 0, errGone
	}
	switch {
	case err != nil:
		return 0, err
	case answer[stateOffset] == stateListen, binary.NativeEndian.Uint32(answer[inodeOffset:]) == 0:
		return 0, errGone
	}
	return binary.NativeEndian.Uint32(answer[uidOffset:]), nil
}

// ended reports whether our own end of a connection has been told that the other one
// is gone. If it has not, the other one is none of this kernel's: WSL lets programs of
// Windows connect to its loopback addresses. A kernel without this diagnosis knows no
// end.
func ended(local, remote *net.TCPAddr) bool {
	own, err := socketAt(local, remote)
	if err == nil && own[stateOffset] == stateEstablished {
		time.Sleep(10 * time.Millisecond) // a reset may be on its way
		own, err = socketAt(local, remote)
	}
	return err == nil && own[stateOffset] != stateEstablished // also the listener's, for want of our end
}

// socketAt asks for the socket at one address that is connected to the other, or for
// one that listens there.
func socketAt(at, to *net.TCPAddr) (answer []byte, err error) {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, err
	}
	defer unix.Close(s)
	if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return nil, err
	}
	req := make([]byte, requestLength)
	native := binary.NativeEndian
	native.PutUint32(req, requestLength)
	native.PutUint16(req[4:], sockDiagByFamily)
	native.PutUint16(req[6:], unix.NLM_F_REQUEST)
	body := req[unix.NLMSG_HDRLEN:]
	body[0], body[1] = unix.AF_INET6, unix.IPPROTO_TCP
	src, dst := at.IP.To16(), to.IP.To16()
	if src.To4() != nil {
		body[0], src, dst = unix.AF_INET, src.To4(), dst.To4()
	}
	native.PutUint32(body[4:], 1<<unix.BPF_TCP_ESTABLISHED) // idiag_states; not looked at for one socket
	id := body[8:]
	binary.BigEndian.PutUint16(id, uint16(at.Port))
	binary.BigEndian.PutUint16(id[2:], uint16(to.Port))
	copy(id[4:20], src)
	copy(id[20:36], dst)
	native.PutUint64(id[40:], ^uint64(0)) // any cookie; the interface before it is any, too
	if err := unix.Sendto(s, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	answer = make([]byte, 4096)
	n, _, err := unix.Recvfrom(s, answer, 0)
	if err != nil {
		return nil, err
	}
	switch kind := native.Uint16(answer[4:]); {
	case n >= unix.NLMSG_HDRLEN+4 && kind == unix.NLMSG_ERROR:
		return nil, syscall.Errno(-int32(native.Uint32(answer[unix.NLMSG_HDRLEN:])))
	case n < inodeOffset+4 || kind != sockDiagByFamily:
		return nil, errNoPeer
	}
	return answer[:n], nil
}

// stranger reports whether a connection is that of another user than this one and
// root, who can do all that this one can, or of nobody any more: such a request has a
// sender who did not wait to be asked after. If the kernel does not tell, the secret of
// the requests has to do.
func stranger(c net.Conn) bool {
	uid, err := peerUID(c)
	return errors.Is(err, errGone) || err == nil && uid != 0 && int64(uid) != int64(os.Geteuid())
}
