package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/gitaccess/gitaccess/githelper"
)

// passphrase answers for a key.
func (a *asked) passphrase(ctx context.Context) error {
	k, err := readKey(a.prompt.Keys)
	if err != nil || !a.mayHearPassphrase(ctx) {
		text, _, err := a.ask(ctx, question{})
		if err != nil {
			return err
		}
		return a.say(text)
	}
	target := k.store()
	history := a.history(target)
	var q question
	var kept []byte
	if err = fs.ErrNotExist; a.somethingKept() {
		kept, err = a.door.Store.Get(ctx, k.store())
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		q.because = err
	case a.prompt.Again || history.sameCaller():
		if err := a.door.Store.Delete(ctx, k.store()); err != nil {
			return err
		}
	default:
		history.note(given)
		return a.say(githelper.NewSecret(string(kept)))
	}

	text, by, err := a.ask(ctx, q)
	if err != nil {
		return err
	}
	// What does not open the key is not worth remembering; who asked will say so and ask again.
	if right, sure := k.opens([]byte(text.Reveal())); q.because == nil && (right || !sure) && a.offer(ctx, by, target, "passphrase") {
		a.keptOrNot(ctx, by, a.door.Store.Put(ctx, k.store(), []byte(text.Reveal())))
		history.note(typed)
	}
	return a.say(text)
}
