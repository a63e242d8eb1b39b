//go:build linux

package keyringtest

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// SecretsBus is the name of the Secret Service on a bus.
const SecretsBus = "org.freedesktop.secrets"

// NewBus starts a bus of its own that starts no services, and makes it that of the test.
func NewBus(t testing.TB) *dbus.Conn {
	t.Helper()
	scripttest.Need(t, "dbus-daemon", "dbus-daemon")
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/conf", []byte(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=`+dir+`/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`), 0o600))
	ready, w, err := os.Pipe()
	must(t, err)
	defer ready.Close()
	cmd := exec.Command("dbus-daemon", "--nofork", "--config-file="+dir+"/conf", "--print-address=3")
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	w.Close()
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if _, err := ready.Read(make([]byte, 1024)); err != nil {
		t.Fatal("dbus-daemon did not start")
	}
	address := "unix:path=" + dir + "/bus"
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
	return Connect(t, address)
}

// Connect returns a connection of the test to a bus.
func Connect(t testing.TB, address string) *dbus.Conn {
	t.Helper()
	c, err := dbus.Connect(address)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// awaitName waits until somebody owns a name on the bus.
func awaitName(t testing.TB, c *dbus.Conn, name string) {
	t.Helper()
	signals := make(chan *dbus.Signal, 10)
	c.Signal(signals)
	defer c.RemoveSignal(signals)
	must(t, c.AddMatchSignal(dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, name)))
	var owned bool
	must(t, c.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, name).Store(&owned))
	for !owned {
		sig, ok := <-signals
		if !ok {
			t.Fatal("the bus went away")
		}
		owned = sig.Name == "org.freedesktop.DBus.NameOwnerChanged" && sig.Body[0] == name && sig.Body[2] != ""
	}
}

// Home is a folder with a login keyring whose password is "testpw".
func Home(t testing.TB) string {
	t.Helper()
	// On a file system in memory if there is one: the daemon syncs its whole keyring on each write.
	base := "/dev/shm"
	if info, err := os.Stat(base); err != nil || !info.IsDir() {
		base = ""
	}
	home, err := os.MkdirTemp(base, "keystore-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(home) })
	return home
}

// GnomeKeyring runs the real one on the bus.
func GnomeKeyring(t testing.TB, bus *dbus.Conn, home string, args ...string) *exec.Cmd {
	t.Helper()
	scripttest.Need(t, "gnome-keyring-daemon", "gnome-keyring")
	cmd := exec.Command("gnome-keyring-daemon", append([]string{"--foreground", "--components=secrets", "--control-directory=" + home + "/control"}, args...)...)
	cmd.Env = environ("HOME="+home, "XDG_RUNTIME_DIR="+home, "XDG_DATA_HOME=-", "DISPLAY=-", "WAYLAND_DISPLAY=-")
	cmd.Stdin = strings.NewReader("testpw")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGCONT)
		cmd.Process.Kill()
		cmd.Wait()
	})
	awaitName(t, bus, SecretsBus)
	return cmd
}

// Unlocked is a bus with a gnome-keyring whose login collection is unlocked.
func Unlocked(t testing.TB) (*dbus.Conn, *exec.Cmd) {
	bus := NewBus(t)
	return bus, GnomeKeyring(t, bus, Home(t), "--unlock")
}

// Items counts what programs of ours have on a bus's Secret Service, locked or not.
func Items(t testing.TB, bus *dbus.Conn) int {
	t.Helper()
	var open, locked []dbus.ObjectPath
	must(t, bus.Object(SecretsBus, "/org/freedesktop/secrets").Call("org.freedesktop.Secret.Service.SearchItems", 0,
		map[string]string{"application": "gitaccess"}).Store(&open, &locked))
	return len(open) + len(locked)
}
