package sshproxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gitaccess/gitaccess/sshproxy"
	"github.com/google/go-cmp/cmp"
)

// An idle hour: one ping in each interval, each answered, and the connection is as
// good as new.
func TestIdleHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pipe(t, nil)
		start := time.Now()
		var pings []time.Duration
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				f, err := readClientFrame(s)
				if err != nil {
					return
				}
				if f.Op == opPing {
					pings = append(pings, time.Since(start))
					s.Write(fin(opPong, f.Payload))
				}
			}
		}()
		time.AfterFunc(time.Hour+time.Second, func() { s.Write(fin(opBinary, []byte("still here"))) })
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		if string(buf[:n]) != "still here" || err != nil || time.Since(start) != time.Hour+time.Second {
			t.Errorf("%q, %v after %s", buf[:n], err, time.Since(start))
		}
		s.Close()
		c.Close()
		<-served
		if len(pings) != 120 || pings[0] != 30*time.Second || pings[119] != time.Hour {
			t.Errorf("pings at %v", pings)
		}
	})
}

// A session that is idle for an hour, as one in an editor is, goes on as if nothing
// had been, both ways; linger, which counts from the end of the input, does not end it.
func TestRelayIdleHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pipe(t, nil)
		pings := 0
		served := make(chan []byte, 1)
		go func() {
			var got []byte
			for {
				f, err := readClientFrame(s)
				if err != nil {
					served <- got
					return
				}
				switch f.Op {
				case opPing:
					pings++
					s.Write(fin(opPong, f.Payload))
				case opBinary:
					got = append(got, f.Payload...)
					s.Write(fin(opBinary, f.Payload))
					if string(got) == "beforeafter" {
						s.Write(closeFrame(1000, ""))
					}
				}
			}
		}()
		in, keys := io.Pipe()
		go func() {
			keys.Write([]byte("before"))
			time.Sleep(time.Hour + time.Second)
			keys.Write([]byte("after"))
		}()
		var out bytes.Buffer
		stats, err := sshproxy.Relay(t.Context(), c, in, &out, nil)
		if err != nil || out.String() != "beforeafter" || stats.End != sshproxy.EndOrigin || stats.Duration != time.Hour+time.Second {
			t.Errorf("%q, %+v, %v", out.String(), stats, err)
		}
		keys.Close()
		s.Close()
		if got := <-served; string(got) != "beforeafter" || pings != 120 {
			t.Errorf("the origin got %q; %d pings", got, pings)
		}
	})
}

// When packets just stop, reads and writes fail after two missed pings.
func TestSilentPeer(t *testing.T) {
	for _, tt := range []struct{ interval, dead time.Duration }{
		{0, 90 * time.Second},
		{time.Second, 3 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, s := pipe(t, &sshproxy.DialOptions{PingInterval: tt.interval})
			start := time.Now()
			var pings []time.Duration
			served := make(chan struct{})
			go func() {
				defer close(served)
				s.Write(fin(opBinary, []byte("last words")))
				for {
					f, err := readClientFrame(s)
					if err != nil {
						return
					}
					pings = append(pings, time.Since(start))
					if f.Op != opPing {
						t.Errorf("frame %v", f)
					}
				}
			}()
			data, err := io.ReadAll(c)
			want := &sshproxy.PingError{Silence: tt.dead, Pings: 2}
			if string(data) != "last words" || cmp.Diff(error(want), err) != "" {
				t.Errorf("%q, %v, want %v", data, err, want)
			}
			if time.Since(start) != tt.dead {
				t.Errorf("dead after %s", time.Since(start))
			}
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() {
				t.Error("not a timeout")
			}
			if _, err := c.Write([]byte("x")); cmp.Diff(error(want), err) != "" {
				t.Errorf("write: %v", err)
			}
			c.Close()
			s.Close()
			<-served
			if !cmp.Equal(pings, []time.Duration{tt.dead / 3, tt.dead / 3 * 2}) {
				t.Errorf("pings at %v", pings)
			}
		})
	}
}

// A write that nobody takes does not hide that the peer is silent.
func TestSilentPeerWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pipe(t, nil)
		start := time.Now()
		go io.Copy(io.Discard, c)
		_, err := c.Write(make([]byte, 1<<20))
		var silent *sshproxy.PingError
		if !errors.As(err, &silent) || time.Since(start) != 90*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		c.Close()
		s.Close()
	})
}

// Nobody is pinged while data comes (the package comment says why), nor while it
// is our own reader who is slow; and neither is anybody found dead then.
func TestNoPings(t *testing.T) {
	t.Run("data comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, s := pipe(t, nil)
			var frames []clientFrame
			done := make(chan struct{})
			go func() { frames = collect(s); close(done) }()
			go func() {
				for range 100 {
					time.Sleep(29 * time.Second)
					s.Write(fin(opBinary, make([]byte, 1000)))
				}
				s.Write(closeFrame(1000, ""))
			}()
			if n, err := io.Copy(io.Discard, c); n != 100000 || err != nil {
				t.Error(n, err)
			}
			c.Close()
			<-done
			if len(frames) != 1 || frames[0].Op != opClose {
				t.Errorf("the client sent %v", frames)
			}
		})
	})
	t.Run("our reader is slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, s := pipe(t, nil)
			frames := make(chan []clientFrame, 1)
			go func() { frames <- collect(s) }()
			go s.Write(fin(opBinary, make([]byte, 1000)))
			for range 10 {
				time.Sleep(time.Hour) // a page of less, say
				if n, err := c.Read(make([]byte, 100)); n != 100 || err != nil {
					t.Fatal(n, err)
				}
			}
			time.AfterFunc(20*time.Second, func() { s.Write(closeFrame(1000, "")) })
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			c.Close()
			if f := <-frames; len(f) != 1 {
				t.Errorf("the client sent %v", f)
			}
		})
	})
	t.Run("switched off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, s := pipe(t, &sshproxy.DialOptions{PingInterval: -1})
			frames := make(chan []clientFrame, 1)
			go func() { frames <- collect(s) }()
			time.AfterFunc(24*time.Hour, func() { s.Write(closeFrame(1000, "")) })
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			c.Close()
			if f := <-frames; len(f) != 1 {
				t.Errorf("the client sent %v", f)
			}
		})
	})
}

// Any sign of life starts the count anew.
func TestOneMissedPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pipe(t, nil)
		pings := 0
		go func() {
			for {
				f, err := readClientFrame(s)
				if err != nil {
					return
				}
				if f.Op == opPing {
					if pings++; pings%2 == 0 { // every other is answered, late
						time.AfterFunc(29*time.Second, func() { s.Write(fin(opPong, nil)) })
					}
				}
			}
		}()
		time.AfterFunc(2*time.Hour, func() { s.Write(closeFrame(1000, "")) })
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		c.Close()
		s.Close()
	})
}

// A peer that does not answer our close holds Close for a second and no longer.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pipe(t, nil)
		start := time.Now()
		c.Close() // nobody even reads
		if d := time.Since(start); d != time.Second {
			t.Errorf("Close took %s", d)
		}
		s.Close()
	})
}
