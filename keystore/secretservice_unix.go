//go:build unix && !darwin

package keystore

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
)

// The Secret Service (https://specifications.freedesktop.org/secret-service-spec/latest/): gnome-keyring, KeePassXC, KWallet.
//
// It is spoken here rather than through the library, whose client waits for prompts without end, knows no deadlines and, where the
// bus is not there at its start, is not there at all. Entries are items of the collection "login" (what is called "Login" and is
// unlocked with the session), else of the default one; no collection is ever created, since that asks for a password.
//
// A Get is two exchanges: OpenSession and SearchItems are sent together, GetSecrets needs both answers. Values travel in plain: the
// bus is a socket of the user, who may read them anyway.
const (
	secretsName   = "org.freedesktop.secrets"
	secretsPath   = "/org/freedesktop/secrets"
	loginPath     = secretsPath + "/collection/login"
	ifaceService  = "org.freedesktop.Secret.Service."
	ifaceColl     = "org.freedesktop.Secret.Collection"
	ifaceItem     = "org.freedesktop.Secret.Item."
	ifacePrompt   = "org.freedesktop.Secret.Prompt"
	noPath        = dbus.ObjectPath("/")
	secretsSchema = "com.github.gitaccess.Entry"
)

type secretService struct {
	address     string
	interactive bool

	mu   sync.Mutex // held while connecting
	link *link
}

// secret is the structure (oayays) of the specification.
type secret struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

func openSecretService(_ context.Context, c *config) (backend, error) {
	s := &secretService{address: busAddress(c), interactive: c.interactive}
	if s.address == "" {
		return nil, absent("there is no session bus")
	}
	return s, nil
}

// attributes tell our items from those of others. They can be read while the collection is locked.
func attributes(name string) map[string]string {
	a := map[string]string{"xdg:schema": secretsSchema, "application": "gitaccess"}
	if name != "" {
		a["entry"] = name
	}
	return a
}

func (s *secretService) get(ctx context.Context, name string) (blob []byte, err error) {
	err = s.with(ctx, func(l *link) error {
		items, secrets, err := s.search(ctx, l, name)
		if err != nil {
			return err
		}
		for _, item := range items { // those of the login collection come first
			if v, ok := secrets[item]; ok {
				blob = v.Value
				return nil
			}
		}
		return ErrNotFound
	})
	return blob, err
}

func (s *secretService) each(ctx context.Context, visit func(string, []byte)) error {
	return s.with(ctx, func(l *link) error {
		_, secrets, err := s.search(ctx, l, "")
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		for _, v := range secrets {
			if e, err := decodeAny(v.Value); err == nil { // the name is the hash of the key inside
				visit(nameOf(e.Key), v.Value)
			}
		}
		return nil
	})
}

// search finds items and their secrets; no name means all of ours.
func (s *secretService) search(ctx context.Context, l *link, name string) ([]dbus.ObjectPath, map[dbus.ObjectPath]secret, error) {
	var session *dbus.Call
	if l.session == "" {
		session = l.openSession(ctx)
	}
	found, err := s.find(ctx, l, name)
	if session != nil {
		if err := l.setSession(ctx, session); err != nil {
			return nil, nil, err
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		// Some services find nothing while they are locked; then it is not known whether there is an entry.
		unlocked, err := s.ensureUnlocked(ctx, l)
		if err != nil {
			return nil, nil, err
		}
		if unlocked {
			if found, err = s.find(ctx, l, name); err != nil {
				return nil, nil, err
			}
		}
	}
	if len(found) == 0 {
		return nil, nil, ErrNotFound
	}
	var secrets map[dbus.ObjectPath]secret
	err = l.call(ctx, secretsPath, ifaceService+"GetSecrets", []any{found, l.session}, &secrets)
	return found, secrets, err
}

// find lists the items of a name, unlocked, those of the login collection first.
func (s *secretService) find(ctx context.Context, l *link, name string) ([]dbus.ObjectPath, error) {
	var open, locked []dbus.ObjectPath
	if err := l.call(ctx, secretsPath, ifaceService+"SearchItems", []any{attributes(name)}, &open, &locked); err != nil {
		return nil, err
	}
	if len(locked) > 0 {
		more, err := s.unlock(ctx, l, locked)
		if err != nil {
			return nil, err
		}
		open = append(open, more...)
	}
	var first, rest []dbus.ObjectPath
	for _, p := range open {
		if strings.HasPrefix(string(p), loginPath+"/") {
			first = append(first, p)
		} else {
			rest = append(rest, p)
		}
	}
	return append(first, rest...), nil
}

func (s *secretService) set(ctx context.Context, name string, blob []byte) error {
	return s.with(ctx, func(l *link) error {
		if l.session == "" {
			if err := l.setSession(ctx, l.openSession(ctx)); err != nil {
				return err
			}
		}
		err := s.create(ctx, l, loginPath, name, blob)
		if !noSuchObject(err) {
			return err
		}
		collection, err := l.defaultCollection(ctx)
		if err != nil {
			return err
		}
		if collection == noPath {
			return errors.New("it has no collection to keep entries in (none is called login, none is the default)")
		}
		return s.create(ctx, l, collection, name, blob)
	})
}

func (s *secretService) create(ctx context.Context, l *link, collection dbus.ObjectPath, name string, blob []byte) error {
	for try := 0; ; try++ {
		var item, prompt dbus.ObjectPath
		err := l.call(ctx, collection, ifaceColl+".CreateItem", []any{
			map[string]dbus.Variant{
				ifaceItem + "Label":      dbus.MakeVariant("gitaccess"),
				ifaceItem + "Attributes": dbus.MakeVariant(attributes(name)),
			},
			secret{l.session, []byte{}, blob, "application/json"},
			true, // replace
		}, &item, &prompt)
		if err == nil && prompt != noPath {
			err = s.prompt(ctx, l, prompt)
		}
		if errorName(err) != "org.freedesktop.Secret.Error.IsLocked" || try > 0 {
			return err
		}
		if _, err := s.unlock(ctx, l, []dbus.ObjectPath{collection}); err != nil {
			return err
		}
	}
}

func (s *secretService) clear(ctx context.Context) error { return s.remove(ctx, "") }

// remove deletes all items of a name; no name means all of ours.
func (s *secretService) remove(ctx context.Context, name string) error {
	return s.with(ctx, func(l *link) error {
		items, err := s.find(ctx, l, name)
		if err != nil {
			return err
		}
		for _, item := range items {
			var prompt dbus.ObjectPath
			err := l.call(ctx, item, ifaceItem+"Delete", nil, &prompt)
			if noSuchObject(err) { // someone else was quicker
				continue
			}
			if err == nil && prompt != noPath {
				err = s.prompt(ctx, l, prompt)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ensureUnlocked reports whether something was locked and no longer is.
func (s *secretService) ensureUnlocked(ctx context.Context, l *link) (bool, error) {
	const property = "org.freedesktop.DBus.Properties.Get"
	var locked dbus.Variant
	collection := dbus.ObjectPath(loginPath)
	err := l.call(ctx, collection, property, []any{ifaceColl, "Locked"}, &locked)
	if noSuchObject(err) {
		if collection, err = l.defaultCollection(ctx); err != nil || collection == noPath {
			return false, err
		}
		err = l.call(ctx, collection, property, []any{ifaceColl, "Locked"}, &locked)
	}
	if is, ok := locked.Value().(bool); err != nil || !ok || !is {
		return false, err
	}
	_, err = s.unlock(ctx, l, []dbus.ObjectPath{collection})
	return err == nil, err
}

func (s *secretService) unlock(ctx context.Context, l *link, objects []dbus.ObjectPath) ([]dbus.ObjectPath, error) {
	var done []dbus.ObjectPath
	var prompt dbus.ObjectPath
	if err := l.call(ctx, secretsPath, ifaceService+"Unlock", []any{objects}, &done, &prompt); err != nil {
		return nil, err
	}
	if prompt == noPath {
		if len(done) == 0 {
			return nil, &LockedError{Backend: "secret-service"}
		}
		return done, nil
	}
	if err := s.prompt(ctx, l, prompt); err != nil {
		return nil, err
	}
	return objects, nil
}

// prompt lets the service ask the person, if there is one, until they answer or ctx ends.
func (s *secretService) prompt(ctx context.Context, l *link, prompt dbus.ObjectPath) error {
	dismiss := func() {
		l.Object(secretsName, prompt).Go(ifacePrompt+".Dismiss", dbus.FlagNoReplyExpected, nil)
	}
	if !s.interactive {
		dismiss()
		return &LockedError{Backend: "secret-service"}
	}
	signals := make(chan *dbus.Signal, 4)
	l.Signal(signals)
	defer l.RemoveSignal(signals)
	match := []dbus.MatchOption{dbus.WithMatchObjectPath(prompt), dbus.WithMatchInterface(ifacePrompt)}
	if err := l.AddMatchSignalContext(ctx, match...); err != nil {
		return err
	}
	defer l.RemoveMatchSignalContext(ctx, match...)
	if err := l.call(ctx, prompt, ifacePrompt+".Prompt", []any{""}); err != nil {
		return err
	}
	for {
		select {
		case sig, ok := <-signals:
			if !ok {
				return dbus.ErrClosed
			}
			if sig.Path != prompt || sig.Name != ifacePrompt+".Completed" || len(sig.Body) < 1 {
				continue
			}
			if dismissed, _ := sig.Body[0].(bool); dismissed {
				return &LockedError{"secret-service", errors.New("the request to unlock it was turned down")}
			}
			return nil
		case <-ctx.Done():
			dismiss()
			return &LockedError{"secret-service", errors.New("nobody answered the request to unlock it")}
		}
	}
}

func (l *link) openSession(ctx context.Context) *dbus.Call {
	return l.start(ctx, secretsPath, ifaceService+"OpenSession", "plain", dbus.MakeVariant(""))
}

func (l *link) setSession(ctx context.Context, c *dbus.Call) error {
	var output dbus.Variant
	return wait(ctx, c, &output, &l.session)
}

func (l *link) defaultCollection(ctx context.Context) (path dbus.ObjectPath, err error) {
	err = l.call(ctx, secretsPath, ifaceService+"ReadAlias", []any{"default"}, &path)
	return path, err
}

// with runs f on the connection, one at a time, and once more on a new one if the old one turns out to be broken.
func (s *secretService) with(ctx context.Context, f func(*link) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		reused := s.link != nil
		if !reused {
			if err := ctx.Err(); err != nil {
				return err
			}
			l, err := dialBus(ctx, s.address)
			if err != nil {
				return err
			}
			s.link = l
		}
		err := f(s.link)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // of a write; it is the context's and may come first
			s.hangUp()
			return context.DeadlineExceeded
		case err != nil && (broken(err) || ctx.Err() != nil):
			s.hangUp() // answers to what was given up on must not be taken for others
			if ctx.Err() != nil {
				var locked *LockedError
				if errors.As(err, &locked) {
					return err
				}
				return ctx.Err()
			}
			if reused {
				continue
			}
			return absent("the session bus went away: %w", err)
		case noService(err):
			return absent("there is no Secret Service on the session bus: %w", err)
		}
		return err
	}
}

func (s *secretService) hangUp() {
	if s.link != nil {
		s.link.Close()
		s.link = nil
	}
}

func noSuchObject(err error) bool {
	switch errorName(err) {
	case "org.freedesktop.Secret.Error.NoSuchObject", "org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.UnknownMethod",
		"org.freedesktop.DBus.Error.UnknownInterface":
		return true
	}
	return false
}

func noService(err error) bool {
	name := errorName(err)
	return name == "org.freedesktop.DBus.Error.ServiceUnknown" || name == "org.freedesktop.DBus.Error.NameHasNoOwner" ||
		strings.HasPrefix(name, "org.freedesktop.DBus.Error.Spawn.")
}

func (s *secretService) limit() int       { return 0 }
func (s *secretService) location() string { return "Secret Service, collection login" }
func (s *secretService) sealed() bool     { return true }

func (s *secretService) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangUp()
}
