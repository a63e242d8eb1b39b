package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/gitaccess/gitaccess/internal/caller"
)

// A program that asks the same again at once did not get through with the answer. ssh, ssh-add, git-lfs and sudo do that themselves.
// git ends, and a person types the same command again: the same happens after it went well, so that this proves nothing, and the person
// is asked whether the answer is still right. Notes of that stand for a minute, without a secret in them.

// atOnce is how long a note counts.
const atOnce = time.Minute

// Weights of answers: one that was typed and remembered is not proven, one that was kept has got through before.
const (
	given = 1
	typed = 2
)

// maxNotes bounds a file of notes.
const maxNotes = 64

type note struct {
	Caller  string    `json:"caller"`
	Command string    `json:"command,omitempty"`
	Weight  int       `json:"weight"`
	At      time.Time `json:"at"`
}

// history is what was answered lately for one target.
type history struct {
	a       *asked
	file    string
	caller  string
	command string
	notes   []note
}

func (a *asked) history(target string) *history {
	h := &history{a: a, file: "cache/askpass/" + nameOf(target), command: caller.Command()}
	if h.caller = a.who().ID(); h.caller == "" {
		p := caller.Parent()
		h.caller = p.ID()
	}
	b, err := a.door.State.Load(h.file)
	var all []note
	if err != nil || json.Unmarshal(b, &all) != nil {
		return h
	}
	now := time.Now()
	for _, n := range all {
		if age := now.Sub(n.At); age >= 0 && age < atOnce && len(h.notes) < maxNotes {
			h.notes = append(h.notes, n)
		}
	}
	return h
}

// sameCaller reports whether this very process has had an answer, which was wrong then.
func (h *history) sameCaller() bool {
	for _, n := range h.notes {
		if h.caller != "" && n.Caller == h.caller {
			return true
		}
	}
	return false
}

// sameCommand reports whether the same command was given answers that did not keep it from being typed again.
func (h *history) sameCommand() bool {
	sum := 0
	for _, n := range h.notes {
		if h.command != "" && n.Command == h.command {
			sum += n.Weight
		}
	}
	return sum >= typed
}

// note writes down that an answer was given. A note that cannot be kept costs a chance to notice that the answer is wrong, no more.
func (h *history) note(weight int) {
	h.notes = append([]note{{h.caller, h.command, weight, time.Now()}}, h.notes...)
	if b, err := json.Marshal(h.notes); err == nil {
		_ = h.a.door.State.Save(h.file, b)
	}
}

// clear is for an answer that a person stands by.
func (h *history) clear() { _ = h.a.door.State.Remove(h.file) }

// nameOf hashes a target: nobody's hosts, users and keys stand in names of files.
func nameOf(target string) string {
	sum := sha256.Sum256([]byte(target))
	return hex.EncodeToString(sum[:16])
}
