package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// contender is a program under measurement, in one setting.
type contender struct {
	name string
	args []string
	env  []string
	runs []sample
}

// sample is one run.
type sample struct {
	wall, cpu time.Duration
	peak      int64 // KiB, at the end of the work
	early     int64 // KiB, after a quarter of it
	conns     int64
}

// process is a contender that runs.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *os.File
}

// clock is when a measured stretch begins and ends; it begins with the process.
type clock struct{ from, to time.Time }

func (c *clock) begin() { c.from = time.Now() }
func (c *clock) end()   { c.to = time.Now() }

// run starts the program, has use work with its standard input and output, and measures.
func (c *contender) run(ctx context.Context, use func(p *process, t *clock, s *sample) error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Env = c.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd.Stdout = w
	var t clock
	var s sample
	t.begin()
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	err = use(&process{cmd, in, r}, &t, &s)
	if t.to.IsZero() {
		t.end()
	}
	s.peak = peakMemory(cmd.Process.Pid)
	in.Close()
	r.Close()
	werr := cmd.Wait()
	if err != nil {
		return fmt.Errorf("%s: %w (%v)\n%s", strings.Join(c.args, " "), err, werr, &stderr)
	}
	s.wall = t.to.Sub(t.from)
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	c.runs = append(c.runs, s)
	return nil
}

// whole runs the program from its start to its end.
func (c *contender) whole(ctx context.Context, stdin string) error {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Env = c.env
	cmd.Stdin = strings.NewReader(stdin)
	if stdin == "" {
		cmd.Stdin = nil
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	began := time.Now()
	err := cmd.Run()
	wall := time.Since(began)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(c.args, " "), err, &stderr)
	}
	c.runs = append(c.runs, sample{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()})
	return nil
}

// interleave runs each of all once in each round, in another order each time. A first round is thrown away: it fills caches.
func interleave(rounds int, all []*contender, run func(*contender) error) error {
	for round := range rounds + 1 {
		for i := range all {
			c := all[(i+round)%len(all)]
			if err := run(c); err != nil {
				return err
			}
			if round == 0 {
				c.runs = nil
			}
		}
	}
	return nil
}

// peakMemory returns the VmHWM of a process in KiB, zero where there is no /proc. The maximum of getrusage(2) would be that of
// the process from which it was forked.
func peakMemory(pid int) (kib int64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if _, line, ok := bytes.Cut(status, []byte("VmHWM:")); ok {
		fmt.Sscan(string(line), &kib)
	}
	return kib
}

// series is a measured quantity over the runs of a contender.
type series []float64

func (c *contender) series(of func(sample) float64) series {
	v := make(series, len(c.runs))
	for i, s := range c.runs {
		v[i] = of(s)
	}
	return v
}

func (v series) sorted() series {
	v = slices.Clone(v)
	slices.Sort(v)
	return v
}

func (v series) median() float64 {
	s := v.sorted()
	n := len(s)
	if n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[n/2]
}

func (v series) spread() (least, most float64) {
	s := v.sorted()
	return s[0], s[len(s)-1]
}
