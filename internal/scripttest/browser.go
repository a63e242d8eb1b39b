package scripttest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/gitaccess/gitaccess/access/accesstest"
)

const (
	browserProgram = "scripted-browser"
	browserVar     = "SCRIPTTEST_BROWSER" // where the test listens for URLs to open
)

// browserMain is $BROWSER: it hands the URL to the test and ends, as an opener whose browser runs already.
func browserMain() {
	err := func() error {
		c, err := net.Dial("tcp", os.Getenv(browserVar))
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := fmt.Fprintln(c, strings.Join(os.Args[1:], " ")); err != nil {
			return err
		}
		_, err = io.ReadAll(c)
		return err
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, browserProgram+":", err)
		os.Exit(1)
	}
}

// A browser is a person who is shown URLs. It keeps its cookies from one to the next.
type browser struct {
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu     sync.Mutex
	person *accesstest.Person
	does   string // approve, refuse or nothing
	tabs   []string
	errs   []error
}

func newBrowser(p *accesstest.Person) (*browser, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &browser{listener: l, person: p, does: "approve"}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			line, err := bufio.NewReader(c).ReadString('\n')
			if err == nil {
				b.open(strings.TrimSpace(line))
			}
			c.Close()
		}
	})
	return b, nil
}

func (b *browser) open(page string) {
	b.mu.Lock()
	b.tabs = append(b.tabs, page)
	person, does := b.person, b.does
	b.mu.Unlock()
	var act func(context.Context, string) error
	switch does {
	case "approve":
		act = person.Approve
	case "refuse":
		act = person.Refuse
	default:
		return
	}
	b.work.Go(func() {
		var refused *accesstest.RefusedError
		if err := act(b.ctx, page); err != nil && b.ctx.Err() == nil && !errors.As(err, &refused) {
			b.mu.Lock()
			b.errs = append(b.errs, fmt.Errorf("the person at the browser: %w", err))
			b.mu.Unlock()
		}
	})
}

func (b *browser) opened() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.tabs...)
}

func (b *browser) behave(does string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.does = does
}

func (b *browser) become(p *accesstest.Person) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.person = p
}

func (b *browser) close() error {
	b.listener.Close()
	b.cancel()
	b.work.Wait()
	return errors.Join(b.errs...)
}
