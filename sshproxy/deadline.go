package sshproxy

import (
	"net"
	"os"
	"sync"
	"time"
)

// SetDeadline is SetReadDeadline and SetWriteDeadline in one.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline bounds present and future Reads, which then fail with
// [os.ErrDeadlineExceeded]. They can be taken up again later; nothing is lost.
func (c *Conn) SetReadDeadline(t time.Time) error {
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case c.nc == nil:
		return os.ErrNoDeadline
	}
	return c.nc.SetReadDeadline(t)
}

// SetWriteDeadline bounds present and future Writes, which then fail with
// [os.ErrDeadlineExceeded].
func (c *Conn) SetWriteDeadline(t time.Time) error {
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case c.nc == nil:
		return os.ErrNoDeadline
	}
	return c.deadline.set(t, c.nc)
}

// writeDeadline is the deadline of Writes. It is set on the connection beneath
// only while a Write is under way: a ping that met the deadline of an old Write
// would break the connection for good.
type writeDeadline struct {
	mu      sync.Mutex
	t       time.Time
	active  bool          // a Write is under way
	applied bool          // the connection beneath has a deadline
	changed chan struct{} // closed and replaced by set; nil until somebody waits
}

func (d *writeDeadline) set(t time.Time, nc net.Conn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.t = t
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
	if !d.active {
		return nil
	}
	d.applied = !t.IsZero()
	return nc.SetWriteDeadline(t)
}

// passed returns the deadline, whether it has passed, and a channel that tells of its change.
func (d *writeDeadline) passed() (t time.Time, passed bool, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.t, !d.t.IsZero() && !time.Now().Before(d.t), d.changed
}

// beginWrite takes the write lock, for no longer than the deadline allows.
func (c *Conn) beginWrite() error {
	for locked := false; !locked; {
		select {
		case c.writeLock <- struct{}{}:
			locked = true
			continue
		default:
		}
		t, passed, changed := c.deadline.passed()
		if passed {
			return os.ErrDeadlineExceeded
		}
		var expired <-chan time.Time
		if !t.IsZero() {
			timer := time.NewTimer(time.Until(t))
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case c.writeLock <- struct{}{}:
			locked = true
		case <-expired:
		case <-changed:
		}
	}
	d := &c.deadline
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.t.IsZero() {
		if !time.Now().Before(d.t) {
			c.unlockWrite()
			return os.ErrDeadlineExceeded
		}
		d.applied = true
		c.nc.SetWriteDeadline(d.t)
	}
	d.active = true
	return nil
}

func (c *Conn) endWrite() {
	d := &c.deadline
	d.mu.Lock()
	d.active = false
	if d.applied {
		d.applied = false
		c.nc.SetWriteDeadline(time.Time{})
	}
	d.mu.Unlock()
	c.unlockWrite()
}

func (c *Conn) lockWrite()   { c.writeLock <- struct{}{} }
func (c *Conn) unlockWrite() { <-c.writeLock }
