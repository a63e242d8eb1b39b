package access

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// line is a Locker with others in front, each of whom has the turn for a while.
type line struct {
	others int
	each   time.Duration
}

func (l line) Lock(ctx context.Context, _ string, waiting func(int, string)) (Lease, error) {
	for pid := range l.others {
		waiting(pid+1, "")
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(l.each):
		}
	}
	return nil, nil
}

// One who holds the turn for half a minute is stuck. A line that moves is waited
// in, for two minutes.
func TestWaitInLine(t *testing.T) {
	for name, tt := range map[string]struct {
		line  line
		pid   int
		after time.Duration // 0: it is our turn
	}{
		"moves":      {line: line{5, 20 * time.Second}},
		"stuck":      {line{1, time.Hour}, 1, 30 * time.Second},
		"second one": {line{2, 25 * time.Second}, 0, 0},
		"too long":   {line{100, 20 * time.Second}, 0, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &Client{cfg: Config{Locker: tt.line}}
				began := time.Now()
				_, _, err := c.lock(t.Context(), "name", App{}, errNobody)
				var busy *BusyError
				switch {
				case tt.after == 0:
					if err != nil {
						t.Error(err)
					}
				case !errors.As(err, &busy) || busy.PID != tt.pid || busy.After != tt.after || time.Since(began) != tt.after:
					t.Errorf("after %s: %v", time.Since(began), err)
				}
			})
		})
	}
}
