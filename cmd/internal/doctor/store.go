package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// keystore writes, reads and deletes an entry.
func (x *Exam) keystore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ks, err := x.Door.Store.Keystore(ctx)
	if err == nil {
		const key = "doctor/probe"
		value := []byte(rand.Text())
		if err = ks.Put(ctx, key, value); err == nil {
			var got []byte
			if got, err = ks.Get(ctx, key); err == nil && !bytes.Equal(got, value) {
				err = errors.New("it gave back something else than was put into it")
			}
			err = errors.Join(err, ks.Delete(ctx, key))
		}
	}
	if err != nil {
		text, hints := explained(err)
		x.fault("keystore", "keystore", "secrets cannot be kept: "+text, append(hints, "see what there is: access status")...)
		return
	}
	info := ks.Info()
	sealed := "encrypted"
	if !info.Sealed {
		sealed = "not encrypted, readable by you only"
	}
	x.ok("keystore", fmt.Sprintf("%s (%s; %s): written, read and deleted", info.Backend, info.Location, sealed))
}
