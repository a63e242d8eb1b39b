package githelper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A Jar is the cookie file of one host, in the Netscape format that http.<url>.cookieFile wants: curl and git-lfs read it. The file is
// as secret as its cookies; it is written with mode 0600, in one step, so that a reader sees the old cookies or the new ones.
//
// Cookies know no port, so keep one Jar per host and port and let git's configuration choose it. Its methods may be called by several
// goroutines and processes at once; of two Saves the later one holds.
type Jar struct {
	Path string // of the file, absolute
	Host string // without port; the only host that the cookies go to
}

// A Cookie is one line of a Jar. It is always secure and host-only.
type Cookie struct {
	Name     string
	Value    Secret
	Path     string    // "" means "/"
	Expires  time.Time // zero: as long as the file
	HTTPOnly bool
}

// Limits of curl's reader: lib/cookie.c drops, without a word, lines of 5000 bytes and cookies whose name and value together exceed
// 4096.
const (
	maxJarLine   = 4999
	maxNameValue = 4096
	maxJar       = 1 << 20
)

const (
	jarHeader      = "# Netscape HTTP Cookie File\n"
	httpOnlyPrefix = "#HttpOnly_"
)

// Load returns the cookies of the file that are for the Jar's host and have not expired. A missing file matches fs.ErrNotExist.
// Lines that curl would skip are skipped.
func (j *Jar) Load() ([]Cookie, error) {
	b, err := j.read()
	if err != nil {
		return nil, err
	}
	var all []Cookie
	now := time.Now()
	for line := range strings.SplitSeq(string(b), "\n") {
		c, ok := j.parse(strings.TrimSuffix(line, "\r"))
		if ok && (c.Expires.IsZero() || now.Before(c.Expires)) {
			all = append(all, c)
		}
	}
	return all, nil
}

// Save makes cookies the whole content of the file. A file that holds exactly them already, with the right mode, is left alone. An
// error names a cookie, never its value.
func (j *Jar) Save(cookies []Cookie) error {
	want, err := j.format(cookies)
	if err != nil {
		return err
	}
	if have, err := j.read(); err == nil && bytes.Equal(have, want) {
		return nil
	}
	if err := j.write(want); err != nil {
		return fmt.Errorf("githelper: write cookie file: %w", err)
	}
	return nil
}

// Remove deletes the file; a missing one is no error.
func (j *Jar) Remove() error {
	if err := os.Remove(j.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("githelper: remove cookie file: %w", err)
	}
	return nil
}

// read returns the file if nobody else may read or have written it: a link or a wider mode is as good as no file.
func (j *Jar) read() ([]byte, error) {
	info, err := os.Lstat(j.Path)
	if err != nil {
		return nil, fmt.Errorf("githelper: read cookie file: %w", err)
	}
	if !info.Mode().IsRegular() || (runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0) {
		return nil, fmt.Errorf("githelper: cookie file %q is open to others: %w", j.Path, fs.ErrPermission)
	}
	f, err := os.Open(j.Path)
	if err != nil {
		return nil, fmt.Errorf("githelper: read cookie file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJar))
	if err != nil {
		return nil, fmt.Errorf("githelper: read cookie file: %w", err)
	}
	return b, nil
}

func (j *Jar) write(b []byte) (err error) {
	dir := filepath.Dir(j.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".jar-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return rename(f.Name(), j.Path)
}

// rename waits on Windows for a reader that has the old file open: curl opens it without the right to replace it.
func rename(from, to string) error {
	for wait := time.Millisecond; ; wait *= 2 {
		err := os.Rename(from, to)
		if err == nil || runtime.GOOS != "windows" || !errors.Is(err, fs.ErrPermission) || wait > time.Second {
			return err
		}
		time.Sleep(wait)
	}
}

// hand makes the cookies readable to a child: as a file that it inherits as descriptor 3, or in the Jar's own.
func (j *Jar) hand(cookies []Cookie, nameless func([]byte) (*os.File, error)) (path string, file *os.File, err error) {
	b, err := j.format(cookies)
	if err != nil {
		return "", nil, err
	}
	if file, err := nameless(b); err == nil {
		return "/proc/self/fd/3", file, nil
	}
	return filepath.ToSlash(j.Path), nil, j.Save(cookies)
}

func (j *Jar) format(cookies []Cookie) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(jarHeader)
	for _, c := range cookies {
		line, err := j.line(c)
		if err != nil {
			return nil, err
		}
		b.WriteString(line)
	}
	return b.Bytes(), nil
}

// line returns the seven fields: host, whether subdomains get the cookie, path, whether it is for TLS only, expiry, name, value.
func (j *Jar) line(c Cookie) (string, error) {
	path, expires, prefix := c.Path, "0", ""
	if path == "" {
		path = "/"
	}
	if !c.Expires.IsZero() {
		expires = strconv.FormatInt(max(c.Expires.Unix(), 1), 10) // 0 would mean no expiry
	}
	if c.HTTPOnly {
		prefix = httpOnlyPrefix
	}
	switch {
	case !isCookieText(j.Host) || j.Host[0] == '#' || j.Host[0] == '.':
		return "", fmt.Errorf("githelper: %q cannot be the host of a cookie", j.Host)
	case !isCookieText(c.Name) || strings.Contains(c.Name, "="):
		return "", fmt.Errorf("githelper: %q cannot be the name of a cookie", c.Name)
	case !isCookieText(path) || path[0] != '/':
		return "", fmt.Errorf("githelper: %q cannot be the path of cookie %q", path, c.Name)
	case !isCookieText(c.Value.Reveal()):
		return "", fmt.Errorf("githelper: the value of cookie %q is empty or has a character that a cookie cannot have", c.Name)
	}
	line := prefix + strings.Join([]string{j.Host, "FALSE", path, "TRUE", expires, c.Name, c.Value.Reveal()}, "\t") + "\n"
	if len(line) > maxJarLine || len(c.Name)+len(c.Value.Reveal()) > maxNameValue {
		return "", fmt.Errorf("githelper: cookie %q is longer than the 4096 bytes that curl accepts", c.Name)
	}
	return line, nil
}

func (j *Jar) parse(line string) (Cookie, bool) {
	line, httpOnly := strings.CutPrefix(line, httpOnlyPrefix)
	f := strings.Split(line, "\t")
	if len(f) != 7 || f[0] != j.Host || f[1] != "FALSE" || f[3] != "TRUE" {
		return Cookie{}, false
	}
	c := Cookie{Name: f[5], Value: NewSecret(f[6]), Path: f[2], HTTPOnly: httpOnly}
	if c.Path == "" {
		c.Path = "/" // as libcurl reads it
	}
	n, err := strconv.ParseInt(f[4], 10, 64)
	if err != nil || n < 0 {
		return Cookie{}, false
	}
	if n > 0 {
		c.Expires = time.Unix(n, 0)
	}
	if again, err := j.line(c); err != nil || !strings.HasSuffix(again, "\t"+f[6]+"\n") {
		return Cookie{}, false
	}
	return c, true
}

// isCookieText reports whether s is one or more of the bytes that RFC 6265 allows in a cookie value, without quotation marks.
func isCookieText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`",;\`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
