package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/socket"
	"github.com/gitaccess/gitaccess/sshproxy"
)

// grace is how long open connections may go on after the first signal.
const grace = 10 * time.Second

// serve relays each connection to p.listen until ctx ends. It logs in before it
// accepts the first one: clients give up sooner than a person has logged in.
// Under systemd nobody is there yet.
func (p *proxy) serve(ctx context.Context, d *sshproxy.Dialer, relay *sshproxy.RelayOptions, logger *slog.Logger, login func() error) error {
	l, err := p.listener(ctx)
	if err != nil {
		return err
	}
	if p.listen != "systemd" {
		if err := login(); err != nil {
			l.Close()
			return err
		}
	}
	p.env.Note("listening on %s", l.Addr())
	return sshproxy.Serve(ctx, l, d, &sshproxy.ServeOptions{
		Relay: relay,
		Grace: grace,
		Ended: func(client net.Addr, stats sshproxy.Stats, err error) {
			logger.Info("relay ended", "client", client, "sent", stats.Sent, "received", stats.Received, "duration", stats.Duration, "err", err)
			if err != nil && !errors.Is(err, context.Canceled) {
				cli.Report(p.env, explain(err)) // the listener goes on
			}
		},
	})
}

func (p *proxy) listener(ctx context.Context) (net.Listener, error) {
	if p.listen == "systemd" {
		return p.activated()
	}
	if path, ok := strings.CutPrefix(p.listen, "unix:"); ok {
		l, err := socket.Listen(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		return l, nil
	}
	host, _, err := net.SplitHostPort(p.listen)
	if err != nil {
		return nil, cli.Usagef("--listen %q: want host:port, unix:PATH or systemd", p.listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		p.env.Warn("whoever reaches %s uses your session; 127.0.0.1 would keep it to this machine", p.listen)
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", p.listen)
}

// activated takes the socket that systemd opened, sd_listen_fds(3).
func (p *proxy) activated() (net.Listener, error) {
	if pid := p.env.Getenv("LISTEN_PID"); pid != strconv.Itoa(os.Getpid()) {
		return nil, errors.New("listen: no socket from systemd (LISTEN_PID is not this process)")
	}
	if n, err := strconv.Atoi(p.env.Getenv("LISTEN_FDS")); err != nil || n != 1 {
		return nil, fmt.Errorf("listen: want one socket from systemd, LISTEN_FDS=%s", p.env.Getenv("LISTEN_FDS"))
	}
	f := os.NewFile(3, "systemd") // SD_LISTEN_FDS_START
	defer f.Close()
	return net.FileListener(f)
}
