package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/sshproxy"
)

// check asks each ssh of the machine what it makes of its configuration, and warns
// of what is not as it was written.
func (c *configCommand) check(ctx context.Context) {
	programs := c.programs()
	if len(programs) == 0 {
		c.env.Warn("there is no ssh in PATH to check the configuration with")
	}
	for _, ssh := range programs {
		for _, h := range c.hosts {
			if err := c.checkHost(ctx, ssh, h); err != nil {
				c.env.Warn("%s -G %s: %v", ssh, h.Host, err)
			}
		}
	}
}

// programs are the one that --ssh names, or each ssh of the machine.
func (c *configCommand) programs() []string {
	if c.ssh != "" {
		return []string{c.ssh}
	}
	return sshPrograms(c.env.Getenv)
}

func (c *configCommand) checkHost(ctx context.Context, ssh string, h *sshproxy.HostConfig) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	args := []string{"-v", "-G"}
	if c.files.custom {
		args = append(args, "-F", c.files.main)
	}
	cmd := exec.CommandContext(ctx, ssh, append(args, h.Host)...)
	cmd.Env = append(c.env.Environ(), skipVar+"=skip")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	dump, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, lastLine(stderr.String()))
	}
	shadows, err := h.Shadows(dump)
	if err != nil || len(shadows) == 0 {
		return err
	}
	read := filesRead(stderr.String())
	if !contains(read, c.files.own) {
		c.env.Warn("%s does not read %s; it reads %s", ssh, c.files.own, strings.Join(read, ", "))
		return nil
	}
	for _, s := range shadows {
		where := "something"
		if file, n := findOption(read, s); n > 0 {
			where = fmt.Sprintf("%s line %d", file, n)
		}
		c.env.Warn("for %s, ssh has %s %s and not %s: %s goes before", h.Host, s.Option, orNothing(s.Got), s.Want, where)
	}
	return nil
}

func orNothing(s string) string {
	if s == "" {
		return "(nothing)"
	}
	return s
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// filesRead finds in the output of ssh -v which files ssh has read, in order.
func filesRead(debug string) (files []string) {
	for line := range strings.Lines(debug) {
		if _, path, ok := strings.Cut(strings.TrimSpace(line), "Reading configuration data "); ok {
			files = append(files, path)
		}
	}
	return files
}

func contains(files []string, path string) bool {
	want, err := os.Stat(path)
	if err != nil {
		return false
	}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && os.SameFile(info, want) {
			return true
		}
	}
	return false
}

// findOption returns the first line that gives the option the value that ssh has.
func findOption(files []string, s sshproxy.Shadow) (file string, line int) {
	names := []string{s.Option}
	if s.Option == "ProxyCommand" { // whichever comes first ends the other, ssh_config(5)
		names = append(names, "ProxyJump")
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		n := 0
		for text := range strings.Lines(string(b)) {
			n++
			keyword, value, _ := strings.Cut(strings.TrimSpace(strings.Replace(text, "=", " ", 1)), " ")
			for i, name := range names {
				if strings.EqualFold(keyword, name) && (i > 0 || s.Got == "" || strings.Trim(strings.TrimSpace(value), `"`) == s.Got) {
					return file, n
				}
			}
		}
	}
	return "", 0
}
