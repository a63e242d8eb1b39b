package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/internal/cli"
)

// leadsNowhere reports whether what is written to w is lost. ssh sends the
// standard error of the ProxyCommand of a connection that is to stay
// (ControlPersist) to the null device (sshconnect.c, ssh_proxy_connect).
func leadsNowhere(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}

// tellSSH makes ssh print an error: we answer as an SSH server that hangs up and
// says why, which a server may do before any keys are exchanged (RFC 4253, 11.1).
// Nothing was relayed before, so ssh has no other server at the time.
func tellSSH(ctx context.Context, env *cli.Env, err error) {
	var lines bytes.Buffer
	told := *env
	told.Stderr = &lines
	cli.Report(&told, err)
	text := strings.ReplaceAll(strings.TrimSpace(lines.String()), "\n"+env.Name+": ", "; ")
	if _, err := env.Stdout.Write(hangUp(text)); err != nil {
		return
	}
	// ssh reads what we said only once it could say what it has to.
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, env.Stdin)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
	}
}

// hangUp is the beginning and the end of an SSH connection: the version (RFC 4253,
// 4.2) and one packet (6) that disconnects (11.1). ssh prints 400 bytes of text.
func hangUp(text string) []byte {
	const disconnect, byApplication = 1, 11
	text = text[:min(len(text), 400)]
	payload := binary.BigEndian.AppendUint32([]byte{disconnect}, byApplication)
	payload = binary.BigEndian.AppendUint32(payload, uint32(len(text)))
	payload = append(payload, text...)
	payload = binary.BigEndian.AppendUint32(payload, 0) // language tag
	padding := 8 - (4+1+len(payload))%8
	if padding < 4 {
		padding += 8
	}
	b := []byte("SSH-2.0-access-ssh-proxy\r\n")
	b = binary.BigEndian.AppendUint32(b, uint32(1+len(payload)+padding))
	b = append(append(b, byte(padding)), payload...)
	return append(b, make([]byte, padding)...)
}
