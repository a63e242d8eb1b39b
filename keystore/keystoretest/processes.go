package keystoretest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// job is what another process does, or one that will be killed.
type job struct {
	Role       string // "mix", "churn"
	ID         int
	Operations int
	Large      int
}

func (j job) do(open Open) error {
	s, err := open(context.Background())
	if err != nil {
		return err
	}
	if j.Role == "churn" {
		return j.churn(s)
	}
	return j.mix(s)
}

func start(t *testing.T, j job) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	b, err := json.Marshal(j)
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workVar+"="+string(b), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, bufio.NewReader(out)
}

// A value tells whose it is and whether it is whole: "KEY WRITER SEQUENCE SIZE SHA256\n", then bytes.
func value(key string, writer, sequence, size int) []byte {
	body := bytes.Repeat([]byte{byte('a' + sequence%26)}, size)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %s", key, writer, sequence, body))
	return fmt.Appendf(nil, "%q %d %d %x\n%s", key, writer, sequence, sum, body)
}

func parse(key string, v []byte) (writer, sequence int, err error) {
	head, body, ok := bytes.Cut(v, []byte("\n"))
	var k string
	var sum []byte
	if _, err := fmt.Sscanf(string(head), "%q %d %d %x", &k, &writer, &sequence, &sum); !ok || err != nil {
		return 0, 0, fmt.Errorf("%q holds something torn (%d bytes, begins %.40q)", key, len(v), v)
	}
	if k != key {
		return 0, 0, fmt.Errorf("%q holds the value of %q", key, k)
	}
	if want := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %s", key, writer, sequence, body)); !bytes.Equal(want[:], sum) {
		return 0, 0, fmt.Errorf("%q holds something torn (%d bytes by %d, number %d)", key, len(v), writer, sequence)
	}
	return writer, sequence, nil
}

func size(large int) int {
	if rand.N(10) == 0 {
		return rand.N(min(large, 8<<10))
	}
	return rand.N(3000)
}

// mix reads and writes one key of its own, which must always be what it wrote last, and a few that it shares, which must always be
// what somebody wrote.
func (j job) mix(s Store) error {
	ctx := context.Background()
	own := fmt.Sprintf("%sown/%d", prefix, j.ID)
	last := -1 // absent
	check := func() error {
		v, err := s.Get(ctx, own)
		if last < 0 {
			if !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%q should be absent: %w", own, err)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("lost number %d of %q: %w", last, own, err)
		}
		w, n, err := parse(own, v)
		if err == nil && (w != j.ID || n != last) {
			err = fmt.Errorf("lost number %d of %q: it holds number %d", last, own, n)
		}
		return err
	}
	for i := range j.Operations {
		shared := fmt.Sprintf("%sshared/%d", prefix, rand.N(4))
		var err error
		switch n := rand.N(100); {
		case n < 20:
			if err = s.Put(ctx, own, value(own, j.ID, i, size(j.Large))); err == nil {
				last = i
			}
		case n < 45:
			err = check()
		case n < 50:
			if err = s.Delete(ctx, own); err == nil {
				last = -1
			}
		case n < 70:
			err = s.Put(ctx, shared, value(shared, j.ID, i, size(j.Large)))
		case n < 95:
			var v []byte
			if v, err = s.Get(ctx, shared); err == nil {
				_, _, err = parse(shared, v)
			} else if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		case n < 98:
			err = s.Delete(ctx, shared)
		default:
			_, err = s.List(ctx, own)
		}
		if err != nil {
			return fmt.Errorf("process %d, operation %d: %w", j.ID, i, err)
		}
	}
	return check()
}

func processes(t *testing.T, open Open, s Store, o *Options) {
	var all []*exec.Cmd
	var out []*bufio.Reader
	for i := range o.Processes {
		c, r := start(t, job{"mix", i, o.Operations, o.LargeValue})
		all, out = append(all, c), append(out, r)
	}
	for i, c := range all {
		line, _ := out[i].ReadString('\n')
		if err := c.Wait(); err != nil {
			t.Errorf("%v: %s", err, line)
		}
	}
	keys, err := s.List(t.Context(), prefix)
	must(t, err)
	for _, k := range keys {
		if !strings.HasPrefix(k, prefix+"own/") && !strings.HasPrefix(k, prefix+"shared/") {
			continue
		}
		v, err := s.Get(t.Context(), k)
		if err == nil {
			_, _, err = parse(k, v)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// churn writes one key for ever, and says which write was done.
func (j job) churn(s Store) error {
	key := prefix + "churn"
	for i := j.Operations; ; i++ {
		if err := s.Put(context.Background(), key, value(key, j.ID, i, size(j.Large))); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

// killed kills writers at random moments. What stands beside must be as it was, and what was being written must be the last value that
// was said to be written, or the one after it.
func killed(t *testing.T, open Open, s Store, o *Options) {
	var bystanders []string
	for i := range 5 {
		k := fmt.Sprintf("%sbystander/%d", prefix, i)
		must(t, s.Put(t.Context(), k, value(k, -1, i, i*1500)))
		bystanders = append(bystanders, k)
	}
	key := prefix + "churn"
	next, done := 0, -1
	for n := range o.Kills {
		cmd, out := start(t, job{"churn", n, next, o.LargeValue})
		lines := make(chan string)
		go func() {
			defer close(lines)
			for {
				line, err := out.ReadString('\n')
				if err != nil {
					return
				}
				lines <- line
			}
		}()
		// Once it has written, at any moment: the time is what is drawn, nothing waits for it.
		var kill <-chan time.Time
		writes := 0
		for line := range lines {
			if strings.HasPrefix(line, "failed") {
				t.Fatal(line)
			}
			if _, err := fmt.Sscan(line, &done); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if writes++; writes > 1 {
				continue
			}
			kill = time.After(rand.N(20 * time.Millisecond))
			go func() {
				<-kill
				cmd.Process.Kill()
			}()
		}
		cmd.Wait()
		if writes == 0 {
			t.Fatal("the writer ended before it wrote")
		}
		next = done + 2

		v, err := s.Get(t.Context(), key)
		if err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
		w, sequence, err := parse(key, v)
		if err != nil || w != n || sequence < done || sequence > done+1 {
			t.Fatalf("kill %d: number %d by %d is there, want %d or the next by %d: %v", n, sequence, w, done, n, err)
		}
		if n%10 == 0 || n == o.Kills-1 {
			for i, k := range bystanders {
				v, err := s.Get(t.Context(), k)
				if err != nil || !bytes.Equal(v, value(k, -1, i, i*1500)) {
					t.Fatalf("kill %d: %q is no longer what it was: %v", n, k, err)
				}
			}
		}
	}
	must(t, s.Put(t.Context(), key, []byte("done")))
	must(t, s.Delete(t.Context(), key))
	if _, err := s.Get(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after delete: %v", err)
	}
}
