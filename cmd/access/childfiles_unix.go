//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
)

// childFiles are texts that a child reads from descriptors, so that they are on no
// disk and no command line.
type childFiles struct{ files []*os.File }

// maxPipe is what a pipe takes before anybody reads, on the system with the smallest
// one (macOS).
const maxPipe = 16 << 10

func (c *childFiles) add(text string) (path string, err error) {
	if len(text) > maxPipe {
		return "", fmt.Errorf("the credential is too long for a pipe: %d bytes", len(text))
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	c.files = append(c.files, r)
	if _, err := io.WriteString(w, text); err != nil {
		w.Close()
		return "", err
	}
	return fmt.Sprintf("/dev/fd/%d", 2+len(c.files)), w.Close()
}

func (c *childFiles) give(cmd *exec.Cmd) { cmd.ExtraFiles = c.files }

func (c *childFiles) close() {
	for _, f := range c.files {
		f.Close()
	}
}
