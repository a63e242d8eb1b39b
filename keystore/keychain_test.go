package keystore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// With KEYSTORE_TEST_SECURITY the test binary is macOS' security(1), as far as its manual and its behaviour are known to us: a keychain
// in a file, and a list of the arguments that it was given.
func init() {
	path := os.Getenv("KEYSTORE_TEST_SECURITY")
	if path == "" || len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-test.") {
		return
	}
	os.Exit(fakeSecurity(path, os.Args[1:]))
}

func fakeSecurity(path string, args []string) int {
	log, err := os.OpenFile(path+".log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 99
	}
	fmt.Fprintln(log, args)
	log.Close()
	items := map[string]string{}
	if b, err := os.ReadFile(path); err == nil {
		json.Unmarshal(b, &items)
	}
	if items["locked"] != "" {
		fmt.Fprintln(os.Stderr, "security: SecKeychainItemCopyContent: User interaction is not allowed.")
		return exitNoInteract
	}
	option := func(args []string, name string) string {
		for i, a := range args {
			if a == name && i+1 < len(args) {
				return args[i+1]
			}
		}
		return ""
	}
	save := func() {
		b, _ := json.Marshal(items)
		os.WriteFile(path, b, 0o600)
	}
	account := option(args, "-a")
	switch args[0] {
	case "-i":
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			words := strings.Fields(in.Text())
			if len(in.Text()) > maxCommand || items["deaf"] != "" {
				continue // it says something and goes on
			}
			items[option(words, "-a")] = option(words, "-w")
		}
		save()
	case "find-generic-password":
		v, ok := items[account]
		if !ok {
			fmt.Fprintln(os.Stderr, "security: SecKeychainSearchCopyNext: The specified item could not be found in the keychain.")
			return exitNotFound
		}
		fmt.Println(v)
	case "delete-generic-password":
		if _, ok := items[account]; !ok {
			return exitNotFound
		}
		delete(items, account)
		save()
	case "dump-keychain":
		for a := range items {
			fmt.Printf("keychain: \"/Users/x/Library/Keychains/login.keychain-db\"\nversion: 512\nclass: \"genp\"\nattributes:\n"+
				"    0x00000007 <blob>=\"gitaccess\"\n    \"acct\"<blob>=\"%s\"\n    \"cdat\"<timedate>=0x00\n    \"svce\"<blob>=\"gitaccess\"\n", a)
		}
		fmt.Print("keychain: \"/Users/x\"\nattributes:\n    \"acct\"<blob>=\"00000000000000000000000000000000\"\n    \"svce\"<blob>=\"other\"\n" +
			"keychain: \"/Users/x\"\nattributes:\n    \"acct\"<blob>=<NULL>\n    \"svce\"<blob>=\"gitaccess\"\n")
	default:
		return 2
	}
	return 0
}

func TestSecurityTool(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keychain")
	t.Setenv("KEYSTORE_TEST_SECURITY", path)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // with -race each exit of the test binary takes a second
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var b backend = text{securityTool{self}}
	ctx := t.Context()
	if err := probe(ctx, b); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 10, 1500, 2600, 64 << 10} {
		want := bytes.Repeat([]byte("secret\x00"), size/7)
		if err := store(ctx, b, "session/x", want); err != nil {
			t.Fatal(err)
		}
		if got, err := load(ctx, b, "session/x"); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
	var keys []string
	if err := all(ctx, b, func(e *envelope) { keys = append(keys, e.Key) }); err != nil || len(keys) != 1 || keys[0] != "session/x" {
		t.Errorf("%q, %v", keys, err)
	}
	if err := store(ctx, b, "another", make([]byte, 9000)); err != nil {
		t.Fatal(err)
	}
	if err := erase(ctx, b, "another"); err != nil {
		t.Fatal(err)
	}
	if err := b.clear(ctx); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadFile(path); string(left) != "{}" {
		t.Errorf("clear left: %.200s", left)
	}
	if err := store(ctx, b, "session/x", []byte("again")); err != nil {
		t.Fatal(err)
	}
	if err := erase(ctx, b, "session/x"); err != nil {
		t.Fatal(err)
	}
	if _, err := load(ctx, b, "session/x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after erase: %v", err)
	}
	if left, _ := os.ReadFile(path); string(left) != "{}" {
		t.Errorf("left: %.200s", left)
	}
	log, err := os.ReadFile(path + ".log")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if len(line) > 120 || strings.Contains(line, "session") { // a secret is longer than any of our arguments
			t.Errorf("arguments: %s", line)
		}
	}

	t.Run("locked", func(t *testing.T) {
		os.WriteFile(path, []byte(`{"locked":"yes"}`), 0o600)
		var locked *LockedError
		if err := probe(ctx, b); !errors.As(err, &locked) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an entry that is not taken", func(t *testing.T) {
		os.WriteFile(path, []byte(`{"deaf":"yes"}`), 0o600)
		if err := store(ctx, b, "k", nil); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no such program", func(t *testing.T) {
		if err := probe(ctx, text{securityTool{filepath.Join(t.TempDir(), "security")}}); err == nil {
			t.Error("worked")
		}
	})
	t.Run("ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if err := probe(ctx, b); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
