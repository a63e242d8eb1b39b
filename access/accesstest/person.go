package accesstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// A Person plays someone with a browser: keeps cookies, follows redirects,
// and clicks on the edge's pages. Use [Edge.Person] inside the edge's process,
// [NewPerson] outside of it.
type Person struct {
	email string
	http  *http.Client
}

// Person returns someone with a fresh browser, who logs in as email. The
// requests do not go over the network, except to loopback addresses (the
// callback of an OAuth client); the log shows them with Request.Person set.
func (e *Edge) Person(email string) *Person {
	direct := &http.Transport{Proxy: nil}
	return newPerson(email, roundTripper(func(r *http.Request) (*http.Response, error) {
		host := r.URL.Hostname()
		if host == "localhost" || net.ParseIP(host).IsLoopback() {
			defer direct.CloseIdleConnections()
			return direct.RoundTrip(r)
		}
		return e.inProcess(r, email)
	}))
}

// NewPerson returns someone with a fresh browser over rt: for a program that
// reaches the edge by HTTPS_PROXY and SSL_CERT_FILE, http.DefaultTransport.
func NewPerson(email string, rt http.RoundTripper) *Person { return newPerson(email, rt) }

func newPerson(email string, rt http.RoundTripper) *Person {
	jar, _ := cookiejar.New(nil)
	return &Person{email: email, http: &http.Client{Transport: rt, Jar: jar}}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// inProcess serves a request without a connection.
func (e *Edge) inProcess(r *http.Request, who string) (*http.Response, error) {
	in := r.Clone(context.WithValue(r.Context(), personKey, who))
	in.Host = r.URL.Host
	if r.Host != "" {
		in.Host = r.Host
	}
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "192.0.2.1:1"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &answer{header: http.Header{}}
	aborted := func() (aborted bool) {
		defer func() {
			if p := recover(); p == http.ErrAbortHandler {
				aborted = true
			} else if p != nil {
				panic(p)
			}
		}()
		e.ServeHTTP(w, in)
		return false
	}()
	if aborted {
		return nil, io.ErrUnexpectedEOF
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.response(r), nil
}

// answer collects an answer without a connection. net/http/httptest would
// bring its flag into every program that imports this package.
type answer struct {
	header http.Header
	sent   http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status, a.sent = status, a.header.Clone()
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

func (a *answer) response(r *http.Request) *http.Response {
	a.WriteHeader(http.StatusOK)
	return &http.Response{Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.sent, Body: io.NopCloser(&a.body),
		ContentLength: int64(a.body.Len()), Request: r}
}

// A Page is what the person sees.
type Page struct {
	URL    *url.URL
	Status int
	Title  string
	Body   string

	action  string
	hidden  url.Values
	answers []string // values of its buttons, in order
}

var (
	reTitle  = regexp.MustCompile(`(?s)<title>(.*?)</title>`)
	reForm   = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
	reHidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	reButton = regexp.MustCompile(`<button name="answer" value="([^"]*)"`)
)

func readPage(resp *http.Response) (*Page, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	p := &Page{URL: resp.Request.URL, Status: resp.StatusCode, Body: string(body), hidden: url.Values{}}
	if m := reTitle.FindStringSubmatch(p.Body); m != nil {
		p.Title = html.UnescapeString(m[1])
	}
	if m := reForm.FindStringSubmatch(p.Body); m != nil {
		p.action = html.UnescapeString(m[1])
		for _, h := range reHidden.FindAllStringSubmatch(p.Body, -1) {
			p.hidden.Add(html.UnescapeString(h[1]), html.UnescapeString(h[2]))
		}
		for _, b := range reButton.FindAllStringSubmatch(p.Body, -1) {
			p.answers = append(p.answers, html.UnescapeString(b[1]))
		}
	}
	return p, nil
}

// Visit opens a URL and returns the page that its redirects end at.
func (p *Person) Visit(ctx context.Context, link string) (*Page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, err
	}
	return p.open(req)
}

func (p *Person) open(req *http.Request) (*Page, error) {
	// Whoever wants to know a person's browser from a program looks here.
	req.Header.Set("User-Agent", "Mozilla/5.0 (accesstest)")
	req.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	return readPage(resp)
}

// Click presses the button with this answer and returns the page that follows.
func (p *Person) Click(ctx context.Context, page *Page, answer string) (*Page, error) {
	if page.action == "" {
		return nil, fmt.Errorf("accesstest: no button on page %q", page.Title)
	}
	action, err := page.URL.Parse(page.action)
	if err != nil {
		return nil, err
	}
	form := url.Values{"answer": {answer}, "email": {p.email}}
	for k, v := range page.hidden {
		form[k] = v
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, action.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.open(req)
}

// A RefusedError says at which page an Approve ended.
type RefusedError struct{ Page *Page }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("accesstest: login ended with status %d at %q", e.Page.Status, e.Page.Title)
}

// Approve opens a login URL and presses the first button of each page (log in,
// approve, allow) until there is none. A page with an error status is a
// [*RefusedError].
func (p *Person) Approve(ctx context.Context, link string) error {
	page, err := p.Visit(ctx, link)
	for range 10 {
		if err != nil {
			return err
		}
		if page.Status >= 400 {
			return &RefusedError{page}
		}
		if len(page.answers) == 0 {
			return nil
		}
		page, err = p.Click(ctx, page, page.answers[0])
	}
	return errors.New("accesstest: login asks without end")
}

// Refuse opens a login URL, logs in, and presses the last button of the page
// after it (deny); where the first page is that one already, of that.
func (p *Person) Refuse(ctx context.Context, link string) error {
	page, err := p.Visit(ctx, link)
	if err == nil && len(page.answers) > 0 && page.answers[0] == "login" {
		page, err = p.Click(ctx, page, "login")
	}
	if err != nil {
		return err
	}
	if len(page.answers) == 0 {
		return &RefusedError{page}
	}
	_, err = p.Click(ctx, page, page.answers[len(page.answers)-1])
	return err
}

// Browser returns a function that approves each URL it is given in its own
// goroutine, as the opener of a browser that does not wait; done waits for
// them and returns their errors. Use the same Person twice and the second
// login finds the org session.
func (p *Person) Browser(ctx context.Context) (open func(link string) error, done func() error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	open = func(link string) error {
		wg.Go(func() {
			if err := p.Approve(ctx, link); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
		return nil
	}
	return open, func() error {
		wg.Wait()
		mu.Lock()
		defer mu.Unlock()
		return errors.Join(errs...)
	}
}
