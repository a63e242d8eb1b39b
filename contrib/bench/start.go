package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os/exec"
	"path/filepath"
	"time"
)

// trip is the round trip of the far edge.
const trip = 150 * time.Millisecond

func milliseconds(s sample) float64    { return s.wall.Seconds() * 1e3 }
func cpuMilliseconds(s sample) float64 { return s.cpu.Seconds() * 1e3 }
func connections(s sample) float64     { return float64(s.conns) }

// proxies are the contenders that carry a stream to host; the bare one knows service tokens alone.
func (b *bench) proxies(host string, env []string, bare bool) []*contender {
	all := []*contender{{name: oursName, args: []string{filepath.Join(b.bin, "access-ssh-proxy"), "--hostname=" + host}, env: env}}
	if b.peer != "" {
		all = append(all, &contender{name: peerName, args: []string{b.peer, "access", "ssh", "--hostname", host}, env: env})
	}
	if bare {
		all = append(all, &contender{name: bareName, args: []string{filepath.Join(b.tools, "bare"), host}, env: env})
	}
	return all
}

func columns(all []*contender) (names []string) {
	for _, c := range all {
		names = append(names, c.name)
	}
	return names
}

// login has each program store a session of the host.
func (b *bench) login(ctx context.Context, host string) error {
	commands := [][]string{{filepath.Join(b.bin, "access"), "login", host}}
	if b.peer != "" {
		commands = append(commands, []string{b.peer, "access", "login", "https://" + host})
	}
	for _, args := range commands {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = b.world.env
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", args, err, out)
		}
	}
	return nil
}

// toFirstByte runs a contender from its start to the origin's first bytes.
func toFirstByte(ctx context.Context, c *contender) error {
	return c.run(ctx, func(p *process, t *clock, _ *sample) error {
		_, err := io.ReadFull(p.out, make([]byte, len(banner)))
		t.end()
		return err
	})
}

// starts is the time from exec to the first byte of the origin when the edge is near.
func (b *bench) starts(ctx context.Context) error {
	if err := b.login(ctx, startHost); err != nil {
		return err
	}
	for _, setting := range []struct {
		name string
		env  []string
		bare bool
	}{{"service token", b.world.serviceToken(), true}, {"stored session", b.world.env, false}} {
		all := b.proxies(startHost, setting.env, setting.bare)
		if err := interleave(b.rounds(21), all, func(c *contender) error { return toFirstByte(ctx, c) }); err != nil {
			return err
		}
		s := b.table.section("warm start, "+setting.name, columns(all)...)
		s.add("exec to first byte, ms", all, milliseconds, atMost(0.40, peerName))
		s.add("CPU, ms", all, cpuMilliseconds, atMost(0.40, peerName))
	}
	return nil
}

// delayed is the same with an edge that is far away: what counts there is how often a program waits for it.
func (b *bench) delayed(ctx context.Context) error {
	if err := b.login(ctx, startHost); err != nil {
		return err
	}
	near, err := newLink(b.world.edge.Proxy, 0)
	if err != nil {
		return err
	}
	defer near.close()
	far, err := newLink(b.world.edge.Proxy, trip)
	if err != nil {
		return err
	}
	defer far.close()
	for _, setting := range []struct {
		name string
		env  []string
		bare bool
	}{{"service token", b.world.serviceToken(), true}, {"stored session", b.world.env, false}} {
		all := b.proxies(startHost, setting.env, setting.bare)
		trips := map[string]series{}
		for _, l := range []*link{near, far} {
			for _, c := range all {
				c.env, c.runs = proxied(setting.env, l.url()), nil
			}
			if err := interleave(b.rounds(7), all, func(c *contender) error {
				before := l.conns.Load()
				err := toFirstByte(ctx, c)
				if n := len(c.runs); n > 0 {
					c.runs[n-1].conns = l.conns.Load() - before
				}
				return err
			}); err != nil {
				return err
			}
			for _, c := range all {
				m := c.series(milliseconds).median()
				if l == near {
					trips[c.name] = series{m}
				} else {
					trips[c.name] = series{math.Round((m - trips[c.name][0]) / milliseconds(sample{wall: trip}))}
				}
			}
		}
		s := b.table.section(fmt.Sprintf("warm start, %s, %v round trip", setting.name, trip), columns(all)...)
		s.add("connections", all, connections, atMost(1, "")).exact = true
		s.rows = append(s.rows, &row{name: "round trips", cells: trips, goals: []goal{atMost(4, "")}, exact: true})
		goals := []goal{atMost(630, "")}
		switch {
		case !setting.bare:
			goals = append(goals, atMost(0.40, peerName))
		case b.peer != "":
			s.note("(with a service token cloudflared makes one connection, too: nobody can wait less often than three times)")
		}
		s.add("exec to first byte, ms", all, milliseconds, goals...)
	}
	return nil
}
