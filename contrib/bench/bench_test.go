package main

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

func TestMain(m *testing.M) { scripttest.Main(m, nil) }

func runs(name string, milliseconds ...int) *contender {
	c := &contender{name: name}
	for _, ms := range milliseconds {
		c.runs = append(c.runs, sample{wall: time.Duration(ms) * time.Millisecond})
	}
	return c
}

func example(withPeer bool) *table {
	t := &table{notes: []string{"a note"}}
	all := []*contender{runs(oursName, 30, 10, 20)}
	if withPeer {
		all = append(all, runs(peerName, 100, 40, 40, 50))
	}
	s := t.section("start", columns(all)...)
	s.add("exec to first byte, ms", all, milliseconds, atMost(0.4, peerName), atMost(20, ""))
	s.add("1/ms", all, func(s sample) float64 { return 1 / milliseconds(s) }, atLeast(3, peerName))
	return t
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if missed := example(true).print(&b); missed != 2 {
		t.Errorf("%d missed", missed)
	}
	for _, want := range []string{
		"20 [10–30]", "45 [40–100]", "0.44x cloudflared, ≤ 0.40 MISSED; ≤ 20 ok", "2.22x cloudflared, ≥ 3.00 MISSED",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	b.Reset()
	if missed := example(false).print(&b); missed != 0 || strings.Contains(b.String(), peerName) {
		t.Errorf("without the other: %d missed\n%s", missed, &b)
	}
}

func TestMarkdown(t *testing.T) {
	got := string(example(true).markdown())
	if !strings.Contains(got, "\n| start: exec to first byte, ms | 20 | 45 | 0.44 |\n") {
		t.Errorf("%s", got)
	}
	if got := string(example(false).markdown()); strings.Contains(got, "exec") {
		t.Errorf("without the other:\n%s", got)
	}
}

func TestPlot(t *testing.T) {
	for d := xml.NewDecoder(bytes.NewReader(example(true).plot())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n := bytes.Count(example(true).plot(), []byte("#b3261e")); n != 2 {
		t.Errorf("%d bars of what was missed", n)
	}
}

// A connection over the link costs a round trip, and a question and its answer
// another one.
func TestLink(t *testing.T) {
	edge, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer edge.Close()
	go func() {
		c, err := edge.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		io.Copy(c, r)
	}()
	const trip = 100 * time.Millisecond
	l, err := newLink("http://"+edge.Addr().String(), trip)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n")
	r := bufio.NewReader(c)
	if resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect}); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	if d := time.Since(began); d < trip {
		t.Errorf("connected after %v", d)
	}
	began = time.Now()
	io.WriteString(c, "question")
	if _, err := io.ReadFull(r, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d < trip {
		t.Errorf("answered after %v", d)
	}
	c.Close()
	l.close()
	if n := l.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestOrigin(t *testing.T) {
	o := newOrigin([]byte("go"), 100000, 3, []byte("done"))
	got := make([]byte, 2+100000)
	if _, err := io.ReadFull(o, got); err != nil || string(got[:2]) != "go" {
		t.Errorf("%.10q, %v", got, err)
	}
	go func() { o.Write([]byte("ab")); o.Write([]byte("cd")); o.Write([]byte("ef")) }()
	if _, err := io.ReadFull(o, got[:4]); err != nil || string(got[:4]) != "done" {
		t.Errorf("%.10q, %v", got, err)
	}
	o.Close()
	if n, err := o.Read(got); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
}

// The program measures what it says that it measures; how fast that is proves nothing here.
func TestBench(t *testing.T) {
	only, sections := "start", []string{"warm start, service token", "warm start, stored session"}
	if os.Getenv("ACCESS_TEST_FULL") != "" {
		scripttest.Need(t, "sshd", "openssh-server")
		only = "start,delay,relay,key,clone,programs"
		sections = append(sections, "150ms round trip", "relay, origin to client", "relay, client to origin", "keystroke", "git clone", "git-credential-access get", "start-up", "stripped size")
	}
	bin := filepath.Join(t.TempDir(), "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	programs := []string{"access", "access-ssh-proxy", "git-credential-access"}
	built := scripttest.Build(t, programs...)
	for _, p := range programs {
		if err := os.Symlink(filepath.Join(built, p), filepath.Join(bin, p)); err != nil {
			t.Fatal(err)
		}
	}
	bench := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", bench, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	svg := filepath.Join(t.TempDir(), "bench.svg")
	cmd := exec.CommandContext(t.Context(), bench, "--quick", "--only", only, "--bin", bin, "--tools", t.TempDir(), "--svg", svg)
	cmd.Env = append(os.Environ(), "CLOUDFLARED=")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if err != nil && !strings.Contains(stderr.String(), "of the figures to reach were missed") {
		t.Fatalf("%v\n%s\n%s", err, &stderr, &out)
	}
	for _, s := range sections {
		if !strings.Contains(out.String(), s) {
			t.Errorf("no %q in\n%s", s, &out)
		}
	}
	if _, err := os.Stat(svg); err != nil {
		t.Error(err)
	}
}
