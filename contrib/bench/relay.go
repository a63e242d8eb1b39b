package main

import (
	"context"
	"fmt"
	"io"
)

// relays carries much data each way.
func (b *bench) relays(ctx context.Context) error {
	size := b.bytes()
	for _, way := range []struct {
		name string
		host string
		use  func(*process, *clock, *sample) error
		// to reach: speed and CPU beside cloudflared
		speed, cpu float64
	}{
		{"origin to client", downHost, func(p *process, t *clock, s *sample) error { return take(p, t, s, size) }, 1.7, 0.40},
		{"client to origin", upHost, func(p *process, t *clock, s *sample) error { return give(p, t, s, size) }, 1.8, 0.75},
	} {
		all := b.proxies(way.host, b.world.serviceToken(), true)
		if err := interleave(b.rounds(5), all, func(c *contender) error { return c.run(ctx, way.use) }); err != nil {
			return err
		}
		s := b.table.section(fmt.Sprintf("relay, %s, %d MiB", way.name, size>>20), columns(all)...)
		s.add("MB/s", all, func(s sample) float64 { return float64(size) / 1e6 / s.wall.Seconds() }, atLeast(way.speed, peerName), atLeast(0.92, bareName))
		s.add("CPU, s/GiB", all, func(s sample) float64 { return s.cpu.Seconds() * (1 << 30) / float64(size) }, atMost(way.cpu, peerName))
		if all[0].runs[0].peak > 0 {
			s.add("peak memory, growth after the first quarter", all, func(s sample) float64 { return float64(s.peak) / float64(s.early) }, atMost(1.1, ""))
			s.add("peak memory, MB", all, func(s sample) float64 { return float64(s.peak) * 1024 / 1e6 }, atMost(16, ""))
		}
	}
	return nil
}

// take reads size bytes from the program, after one that says that it is connected.
func take(p *process, t *clock, s *sample, size int64) error {
	buf := make([]byte, 256<<10)
	if _, err := io.ReadFull(p.out, buf[:1]); err != nil {
		return err
	}
	t.begin()
	for left := size; left > 0; {
		n, err := p.out.Read(buf)
		left -= int64(n)
		if err != nil && left > 0 {
			return fmt.Errorf("%d bytes short: %w", left, err)
		}
		if s.early == 0 && left <= size*3/4 {
			s.early = peakMemory(p.cmd.Process.Pid)
		}
	}
	t.end()
	return nil
}

// give writes size bytes, and waits for the origin to say that it has them.
func give(p *process, t *clock, s *sample, size int64) error {
	buf := make([]byte, 64<<10)
	if _, err := io.ReadFull(p.out, buf[:1]); err != nil {
		return err
	}
	t.begin()
	for left := size; left > 0; {
		n, err := p.in.Write(buf[:min(left, int64(len(buf)))])
		left -= int64(n)
		if err != nil {
			return err
		}
		if s.early == 0 && left <= size*3/4 {
			s.early = peakMemory(p.cmd.Process.Pid)
		}
	}
	_, err := io.ReadFull(p.out, buf[:1])
	t.end()
	return err
}

// keystrokes is a byte there and its echo back, again and again.
func (b *bench) keystrokes(ctx context.Context) error {
	const keys = 3000
	all := b.proxies(keyHost, b.world.serviceToken(), true)
	if err := interleave(b.rounds(9), all, func(c *contender) error {
		return c.run(ctx, func(p *process, t *clock, _ *sample) error {
			key := []byte{'x'}
			for i := range keys + 1 {
				if _, err := p.in.Write(key); err != nil {
					return err
				}
				if _, err := io.ReadFull(p.out, key); err != nil {
					return err
				}
				if i == 0 { // the start is not meant
					t.begin()
				}
			}
			t.end()
			return nil
		})
	}); err != nil {
		return err
	}
	s := b.table.section("keystroke and its echo", columns(all)...)
	s.add("round trip, µs", all, func(s sample) float64 { return s.wall.Seconds() * 1e6 / keys })
	s.add("CPU, µs", all, func(s sample) float64 { return s.cpu.Seconds() * 1e6 / keys })
	return nil
}
