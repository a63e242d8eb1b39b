package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// An archive that is written.
type archive struct {
	Name, Sum string
	folder    string   // the one inside
	programs  []string // their names
}

// archive writes the archive for p: a zip for Windows, whose Explorer opens nothing
// else by itself on every release, a tarball elsewhere. Owners, times and order are
// fixed.
func (r *release) archive(p platform, programs []program, files []file) (archive, error) {
	a := archive{folder: fmt.Sprintf("gitaccess_%s_%s", r.number(), p.label())}
	for _, p := range programs {
		a.programs = append(a.programs, p.name)
	}
	var b bytes.Buffer
	var err error
	if p.os == "windows" {
		a.Name = a.folder + ".zip"
		err = r.zip(&b, a.folder, files)
	} else {
		a.Name = a.folder + ".tar.gz"
		err = r.tarball(&b, a.folder, files)
	}
	a.Sum = fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
	if err != nil {
		return a, err
	}
	return a, r.write(a.Name, b.Bytes())
}

func (r *release) write(name string, b []byte) error {
	return os.WriteFile(filepath.Join(r.out, name), b, 0o644)
}

func (r *release) tarball(w io.Writer, folder string, files []file) error {
	z := gzip.NewWriter(w) // the best takes four times as long for 3‰
	t := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: folder + "/" + f.name, Size: int64(len(f.content)), Mode: int64(f.mode), ModTime: r.time, Format: tar.FormatUSTAR,
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(f.content); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

func (r *release) zip(w io.Writer, folder string, files []file) error {
	z := zip.NewWriter(w)
	for _, f := range files {
		h := &zip.FileHeader{Name: folder + "/" + f.name, Method: zip.Deflate, Modified: r.time}
		h.SetMode(f.mode)
		e, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := e.Write(f.content); err != nil {
			return err
		}
	}
	return z.Close()
}

// checksums writes SHA256SUMS over all other files, in the form of sha256sum(1).
func (r *release) checksums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), e.Name())
	}
	return r.write("SHA256SUMS", []byte(sums.String()))
}
