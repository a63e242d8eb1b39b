package caller

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const playVar = "GITACCESS_CALLER_TEST_PLAY"

type report struct {
	Parent, Caller Process
	ID, Command    string
}

func TestMain(m *testing.M) {
	if os.Getenv(playVar) == "wait" {
		ctx, cancel := UntilGone(context.Background())
		defer cancel()
		fmt.Println("waiting")
		<-ctx.Done()
		os.WriteFile(os.Getenv("TOLD"), []byte(context.Cause(ctx).Error()), 0o600)
		os.Exit(0)
	}
	if os.Getenv(playVar) != "" {
		p := Parent()
		json.NewEncoder(os.Stdout).Encode(report{p, Caller(), p.ID(), Command()})
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func ask(t *testing.T, dir string, argv ...string) report {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if len(argv) == 0 {
		argv = []string{exe}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), playVar+"=1", "PLAYER="+exe, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

func TestParent(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" && runtime.GOOS != "windows" {
		t.Skip("nothing is known of processes of this system")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSuffix(filepath.Base(exe), ".exe")
	r := ask(t, "")
	if r.Parent.PID != os.Getpid() || r.Parent.Name != name || r.Parent.Path != exe || r.Caller.PID != os.Getpid() || r.ID == "" {
		t.Errorf("%+v", r)
	}
	if again := ask(t, ""); again.ID != r.ID || again.Command != r.Command || r.Command == "" {
		t.Errorf("the second time: %+v, the first time %+v", again, r)
	}
	if other := ask(t, t.TempDir()); other.Command == r.Command {
		t.Error("in another folder it is the same command")
	}
}

// A script that calls us is not who asks; the program that runs the script is.
func TestScriptsInBetween(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	r := ask(t, "", sh, "-c", `sh -c '"$PLAYER"; :'; :`)
	if r.Caller.PID != os.Getpid() || r.Parent.PID == os.Getpid() {
		t.Errorf("%+v", r)
	}
	first := ask(t, "", sh, "-c", `"$PLAYER"; : one`)
	if second := ask(t, "", sh, "-c", `"$PLAYER"; : two`); first.Command == second.Command || first.ID == second.ID {
		t.Errorf("%+v and %+v", first, second)
	}
}

func TestNobody(t *testing.T) {
	if p := lookup(1 << 30); p.ID() != "" || p.Name != "" {
		t.Errorf("%+v", p)
	}
}

// A question that nobody waits for any more is over.
func TestUntilGone(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	told := filepath.Join(t.TempDir(), "told")
	cmd := exec.Command(sh, "-c", `"$PLAYER"; :`)
	cmd.Env = append(os.Environ(), playVar+"=wait", "PLAYER="+exe, "TOLD="+told, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "waiting\n" {
		t.Fatalf("%q, %v", line, err)
	}
	cmd.Process.Kill()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(told); err == nil && len(b) > 0 {
			if string(b) != ErrGone.Error() {
				t.Errorf("%q", b)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it waits on")
		}
	}
	cmd.Wait()
}
