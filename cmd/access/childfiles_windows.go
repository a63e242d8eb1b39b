package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
)

// childFiles are texts that a child reads. Windows' curl can be given no descriptors,
// so that they are files in the user's own temporary folder until the child has ended.
type childFiles struct{ paths []string }

func (c *childFiles) add(text string) (path string, err error) {
	f, err := os.CreateTemp("", "gitaccess-")
	if err != nil {
		return "", err
	}
	c.paths = append(c.paths, f.Name())
	_, err = io.WriteString(f, text)
	return f.Name(), errors.Join(err, f.Close())
}

func (c *childFiles) give(*exec.Cmd) {}

func (c *childFiles) close() {
	for _, p := range c.paths {
		_ = os.Remove(p)
	}
}
