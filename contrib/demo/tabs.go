package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/gitaccess/gitaccess/access/accesstest"
)

// tabVar says where the demo listens for pages to open. It is no argument of $BROWSER, which is a list with colons between.
const tabVar = "GITACCESS_DEMO_TABS"

// openTab is $BROWSER: it hands the page to the demo and ends.
func openTab(ctx context.Context, addr, page string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintln(c, page); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}

// tabs counts the pages that programs open, and has them clicked by a scripted person or shown to a real one.
type tabs struct {
	listener net.Listener
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu   sync.Mutex
	tabs int
	errs []error
}

func newTabs(p *accesstest.Person, hand *mirror) (*tabs, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &tabs{listener: l, cancel: cancel}
	show := func(page string) error { return p.Approve(ctx, page) }
	if hand != nil {
		show = func(page string) error { return hand.show(ctx, page) }
	}
	b.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			page, err := bufio.NewReader(c).ReadString('\n')
			if err == nil {
				b.mu.Lock()
				b.tabs++
				b.mu.Unlock()
				b.work.Go(func() {
					if err := show(strings.TrimSpace(page)); err != nil && ctx.Err() == nil {
						b.mu.Lock()
						b.errs = append(b.errs, fmt.Errorf("the person at the browser: %w", err))
						b.mu.Unlock()
					}
				})
			}
			c.Close()
		}
	})
	return b, nil
}

func (b *tabs) addr() string { return b.listener.Addr().String() }

func (b *tabs) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tabs
}

func (b *tabs) close() error {
	b.listener.Close()
	b.cancel()
	b.work.Wait()
	return errors.Join(b.errs...)
}
