package lease

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"time"
	"unicode"
)

// A record is one line, " CRC32 JSON\n". The checksum is there because waiters read without a lock. Its first byte is a blank that is
// never read: on Windows the lock is on it, and a locked byte cannot be read by others
// (https://learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-lockfileex).
type record struct {
	PID   int       `json:"pid"`
	Note  string    `json:"note,omitempty"`
	Since time.Time `json:"since"`
}

// maxNote is more than any login URL needs.
const (
	maxNote   = 8 << 10
	maxRecord = 64 << 10
)

func write(f *os.File, h Holder) error {
	if len(h.Note) > maxNote {
		return fmt.Errorf("note of %d bytes is too long", len(h.Note))
	}
	b, err := json.Marshal(record(h))
	if err != nil {
		return err
	}
	return overwrite(f, fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(b), b))
}

func clearRecord(f *os.File) error { return overwrite(f, []byte("\n")) }

// overwrite blanks out what was there before instead of cutting it off: Windows may refuse to shorten a file that is locked in part.
func overwrite(f *os.File, line []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if rest := info.Size() - 1 - int64(len(line)); rest > 0 && rest <= maxRecord {
		line = append(line, bytes.Repeat([]byte(" "), int(rest))...)
	}
	_, err = f.WriteAt(line, 1)
	return err
}

// read is without a lock: there may be no record yet, or one that is being written. The next look will find it.
func read(path string) (Holder, bool) {
	f, err := os.OpenFile(path, readFlags, 0)
	if err != nil {
		return Holder{}, false
	}
	defer f.Close()
	b := make([]byte, maxRecord)
	n, _ := f.ReadAt(b, 1)
	line, _, ok := bytes.Cut(b[:n], []byte("\n"))
	sum, text, ok2 := bytes.Cut(line, []byte(" "))
	if !ok || !ok2 || string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(text)) {
		return Holder{}, false
	}
	var r record
	if json.Unmarshal(text, &r) != nil {
		return Holder{}, false
	}
	// It may be shown on a terminal.
	r.Note = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) {
			return -1
		}
		return c
	}, r.Note)
	return Holder(r), true
}
