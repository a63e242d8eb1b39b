package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// programs is what each program costs before it does anything, and git's helper when it has nothing to do but to answer.
func (b *bench) programs(ctx context.Context) error {
	empty := func(env []string) *contender {
		return &contender{name: emptyName, args: []string{filepath.Join(b.tools, "empty")}, env: env}
	}
	if err := b.helper(ctx, empty); err != nil {
		return err
	}
	entries, err := os.ReadDir(b.bin)
	if err != nil {
		return err
	}
	all := []*contender{empty(b.world.env)}
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(b.bin, e.Name())); err != nil || !info.Mode().IsRegular() {
			continue
		}
		// --version is as little as a program can be asked for.
		all = append(all, &contender{name: e.Name(), args: []string{filepath.Join(b.bin, e.Name()), "--version"}, env: b.world.env})
	}
	if b.peer != "" {
		all = append(all, &contender{name: peerName, args: []string{b.peer, "--version"}, env: b.world.env})
	}
	if err := interleave(b.rounds(31), all, func(c *contender) error { return c.whole(ctx, "") }); err != nil {
		return err
	}
	starts := b.table.section("start-up, NAME --version, ms", oursName, emptyName)
	sizes := b.table.section("stripped size, MB", oursName)
	for _, c := range all[1:] {
		ours := &contender{name: oursName, runs: c.runs}
		limit := []goal{atMost(2.2, emptyName)}
		if c.name == peerName || c.name == "access-edge" {
			limit = nil
		}
		starts.add(c.name, []*contender{ours, all[0]}, milliseconds, limit...)
		info, err := os.Stat(c.args[0])
		if err != nil {
			return err
		}
		r := &row{name: c.name, cells: map[string]series{oursName: {float64(info.Size()) / 1e6}}, exact: true}
		switch c.name {
		case peerName, "access-edge":
		case "access":
			r.goals = []goal{atMost(14, "")}
		default:
			r.goals = []goal{atMost(11, "")}
		}
		sizes.rows = append(sizes.rows, r)
	}
	return nil
}

// helper is git-credential-access get with a session that holds.
func (b *bench) helper(ctx context.Context, empty func([]string) *contender) error {
	const noop = "same, no-op"
	program := filepath.Join(b.bin, "git-credential-access")
	for _, args := range [][]string{{filepath.Join(b.bin, "access"), "setup", "git", gitHost}, {filepath.Join(b.bin, "access"), "login", gitHost}} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = b.world.env
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", args, err, out)
		}
	}
	request := "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=" + gitHost + "\n\n"
	all := []*contender{
		{name: oursName, args: []string{program, "get"}, env: b.world.env},
		{name: noop, args: []string{program, "nothing-that-it-knows"}, env: b.world.env}, // an empty program of equal linkage
		empty(b.world.env),
	}
	if err := interleave(b.rounds(41), all, func(c *contender) error { return c.whole(ctx, request) }); err != nil {
		return err
	}
	s := b.table.section("git-credential-access get, warm", columns(all)...)
	s.add("exec to end, ms", all, milliseconds, atMost(5, ""), atMost(1.5, noop))
	s.add("CPU, ms", slices.Clone(all), cpuMilliseconds)
	return nil
}
