package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/internal/keyringtest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// usedMachine is one on which somebody has used everything that leaves traces.
type usedMachine struct {
	t *testing.T
	w *scripttest.World
}

func (m *usedMachine) run(stdin string, name string, args ...string) string {
	m.t.Helper()
	cmd := m.w.Command(m.t.Context(), name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// use leaves traces and returns what nobody may find afterwards.
func (m *usedMachine) use() (secrets []string) {
	w := m.w
	m.run("", "access", "setup", "git", "git.example.com")
	for _, host := range []string{"git.example.com", "oauth.example.com", "ssh.example.com"} {
		m.run("", "access", "login", host)
		secrets = append(secrets, m.run("", "access", "token", host))
	}
	m.run("", "git", "ls-remote", "https://git.example.com/demo.git")
	m.run(w.Service.Secret()+"\n", "access", "service-token", "add", "--client-id", w.Service.ID, "ci.example.com")
	m.run("protocol=https\nhost=h.example.net\nusername=adalovelace\npassword=hunter2\n\n", "git-credential-access", "--store", "store")
	m.run("", "access-ssh-proxy", "cert", "ssh.example.com")
	return append(secrets, w.Service.Secret(), w.Service.ID, "hunter2", "adalovelace", scripttest.Person, "CF_Authorization", "eyJ", "oauth:", "BEGIN OPENSSH")
}

// find lists the files of the user in which one of the texts stands.
func (m *usedMachine) find(texts []string) (found []string) {
	m.t.Helper()
	for _, file := range m.files("home", "state", "run") {
		b, err := os.ReadFile(filepath.Join(m.w.Dir, file))
		if err != nil {
			m.t.Fatal(err)
		}
		for _, text := range texts {
			if bytes.Contains(b, []byte(text)) || strings.Contains(file, text) {
				found = append(found, file+": "+text)
			}
		}
	}
	return found
}

func (m *usedMachine) files(folders ...string) (files []string) {
	m.t.Helper()
	for _, folder := range folders {
		err := fs.WalkDir(os.DirFS(m.w.Dir), folder, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
	slices.Sort(files)
	return files
}

func TestLogoutAllErasesEveryTrace(t *testing.T) {
	scripttest.Need(t, "ssh-keygen", "openssh-client")
	for name, prepare := range map[string]func(t *testing.T) (env []string, left func() int){
		"file": func(*testing.T) ([]string, func() int) { return []string{"ACCESS_KEYSTORE=file"}, nil },
		"sealed file": func(*testing.T) ([]string, func() int) {
			return []string{"ACCESS_KEYSTORE=file", "ACCESS_KEYSTORE_PASSPHRASE=correct horse"}, nil
		},
		"secret-service": func(t *testing.T) ([]string, func() int) {
			bus, _ := keyringtest.Unlocked(t)
			return []string{"ACCESS_KEYSTORE=", "DBUS_SESSION_BUS_ADDRESS=" + os.Getenv("DBUS_SESSION_BUS_ADDRESS")}, func() int { return keyringtest.Items(t, bus) }
		},
		"pass": func(t *testing.T) ([]string, func() int) {
			dir := keyringtest.Pass(t, "")
			return []string{"ACCESS_KEYSTORE=pass", "PASSWORD_STORE_DIR=" + dir, "GNUPGHOME=" + os.Getenv("GNUPGHOME")}, func() int {
				files, _ := filepath.Glob(dir + "/gitaccess/*")
				return len(files)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			env, left := prepare(t)
			w := scripttest.NewWorld(t, scripttest.Git{})
			w.Set(env...)
			m := &usedMachine{t, w}
			secrets := m.use()
			before := m.find(secrets)
			if len(before) == 0 || left != nil && left() < 5 {
				t.Fatalf("there is nothing to erase: %q", before)
			}
			// Another store was in use the day before.
			w.Set("ACCESS_KEYSTORE=file")
			m.run("protocol=https\nhost=h2.example.net\nusername=adalovelace\npassword=hunter2\n\n", "git-credential-access", "--store", "store")
			w.Set(env...)

			m.run("", "access", "logout", "--all")
			if found := m.find(secrets); len(found) > 0 {
				t.Errorf("left:\n%s", strings.Join(found, "\n"))
			}
			if left != nil && left() != 0 {
				t.Errorf("%d entries are left", left())
			}
			var state []string
			for _, f := range m.files("state") {
				state = append(state, filepath.Dir(f))
			}
			if d := cmp.Diff([]string{"state/pin", "state/setup"}, slices.Compact(state)); d != "" {
				t.Error(d)
			}
			if out, err := w.Command(t.Context(), "access", "token", "git.example.com").CombinedOutput(); err == nil {
				t.Errorf("still logged in: %s", out)
			}
			m.run("", "access", "logout", "--all") // nothing to do
		})
	}
}

// What cannot be erased is said, and the rest is erased all the same.
func TestLogoutAllWithALockedKeyring(t *testing.T) {
	bus := keyringtest.NewBus(t)
	home := keyringtest.Home(t)
	daemon := keyringtest.GnomeKeyring(t, bus, home, "--unlock")
	w := scripttest.NewWorld(t, scripttest.Git{})
	w.Set("ACCESS_KEYSTORE=", "DBUS_SESSION_BUS_ADDRESS="+os.Getenv("DBUS_SESSION_BUS_ADDRESS"))
	m := &usedMachine{t, w}
	secrets := m.use()
	if err := daemon.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	daemon.Wait()
	w.Set("DBUS_SESSION_BUS_ADDRESS=") // from elsewhere
	out, err := w.Command(t.Context(), "access", "logout", "--all").CombinedOutput()
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), "what was kept in secret-service could not be erased") {
		t.Errorf("%v\n%s", err, out)
	}
	if found := m.find(secrets); len(found) > 0 {
		t.Errorf("left:\n%s", strings.Join(found, "\n"))
	}
	// Back at the desktop it is still known that there is something.
	keyringtest.GnomeKeyring(t, bus, home, "--unlock")
	w.Set("DBUS_SESSION_BUS_ADDRESS=" + os.Getenv("DBUS_SESSION_BUS_ADDRESS"))
	if keyringtest.Items(t, bus) == 0 {
		t.Fatal("nothing is in the keyring")
	}
	m.run("", "access", "logout", "--all")
	if n := keyringtest.Items(t, bus); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}
