package sshproxy

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// missedPings is how many pings in a row may stay without an answer.
const missedPings = 2

// keepalive is the part of a Conn that sends control frames: pings when nothing
// has arrived for a while, and answers to the peer's pings and close frame.
//
// A timer decides that a ping is due or that the peer is dead; a goroutine of its
// own writes, since a write may wait behind another for as long as the peer does
// not read.
type keepalive struct {
	interval time.Duration
	start    time.Time // what follows counts from then
	waiting  atomic.Int64
	arrived  atomic.Int64

	timer *time.Timer
	base  int64 // timer: from when it counts the silence
	pings int   // timer: sent since base

	mu      sync.Mutex
	ping    bool
	pong    [maxControl]byte
	npong   int // -1: no pong is owed
	closing int // close code to be sent, zero: none
	due     chan struct{}
	done    chan struct{}
	kept    sync.WaitGroup
}

func (c *Conn) startKeepalive(interval time.Duration) {
	k := &c.keepalive
	k.interval, k.start, k.npong = interval, time.Now(), -1
	k.due, k.done = make(chan struct{}, 1), make(chan struct{})
	k.kept.Go(c.writeControls)
	if interval > 0 {
		k.mu.Lock()
		k.timer = time.AfterFunc(interval, c.checkAlive)
		k.mu.Unlock()
	}
}

func (c *Conn) stopKeepalive() {
	c.mu.Lock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	close(c.done)
	c.kept.Wait()
}

// clock returns the time since start, never zero.
func (k *keepalive) clock() int64 { return int64(time.Since(k.start)) + 1 }

func (k *keepalive) waitBegins() { k.waiting.Store(k.clock()) }

func (k *keepalive) waitEnds(arrived bool) {
	if arrived {
		k.arrived.Store(k.clock())
	}
	k.waiting.Store(0)
}

// checkAlive is called by the timer. It counts only time in which somebody waits
// for the peer: while our own reader is slow, what would prove the peer alive
// stays unread. It pings only then, too; the package comment says why.
func (c *Conn) checkAlive() {
	if c.closed.Load() || c.failure.Load() != nil {
		return
	}
	k := &c.keepalive
	now, waiting := k.clock(), k.waiting.Load()
	next := k.interval
	base := max(waiting, k.arrived.Load())
	if waiting == 0 {
		base = now
	}
	if base != k.base {
		k.base, k.pings = base, 0
	}
	silence := time.Duration(now - base)
	switch {
	case silence < k.interval:
		next = k.interval - silence
	case k.pings == missedPings:
		c.fail(&PingError{Silence: silence, Pings: k.pings})
		return
	default:
		k.pings++
		k.mu.Lock()
		k.ping = true
		k.mu.Unlock()
		k.notify()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !c.closed.Load() {
		k.timer.Reset(next)
	}
}

func (k *keepalive) notify() {
	select {
	case k.due <- struct{}{}:
	default:
	}
}

// onControl is told of control frames by the reader. It must not wait.
func (c *Conn) onControl(opcode byte, payload []byte) {
	k := &c.keepalive
	k.arrived.Store(k.clock())
	k.mu.Lock()
	switch opcode {
	case opPing:
		k.npong = copy(k.pong[:], payload) // RFC 6455 section 5.5.3: the newest is enough
	case opClose:
		k.closing = closeNormal // section 5.5.1: echo the code, if there is one
		if len(payload) >= 2 {
			k.closing = int(binary.BigEndian.Uint16(payload))
		}
	}
	k.mu.Unlock()
	if opcode != opPong {
		k.notify()
	}
}

// onReadError sends a close frame if the peer broke the protocol.
func (c *Conn) onReadError(err error) {
	var broken *ProtocolError
	if !errors.As(err, &broken) {
		return
	}
	c.mu.Lock()
	c.closing = closeProtocolError
	c.mu.Unlock()
	c.notify()
}

// writeControls writes the control frames that are due, until stopKeepalive.
func (c *Conn) writeControls() {
	for {
		select {
		case <-c.done:
			return
		case <-c.due:
		}
		select {
		case <-c.done:
			return
		case c.writeLock <- struct{}{}:
		}
		c.mu.Lock()
		ping, npong, closing, pong := c.ping, c.npong, c.closing, c.pong
		c.ping, c.npong, c.closing = false, -1, 0
		c.mu.Unlock()
		if npong >= 0 {
			c.writeControl(opPong, pong[:npong])
		}
		if ping {
			c.writeControl(opPing, nil)
		}
		if closing != 0 {
			c.writeControl(opClose, binary.BigEndian.AppendUint16(nil, uint16(closing)))
		}
		c.unlockWrite()
	}
}
