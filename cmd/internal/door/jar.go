package door

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/githelper"
)

// Jar returns the cookie file from which git takes the session of an application.
// Applications by path have a file each, since a file with the cookies of two would
// hand the one of the whole origin to the other one's path as well.
func (d *Door) Jar(app access.App) *githelper.Jar {
	name := jarName(app.Origin) + onePathElement.Replace(url.PathEscape(app.Path))
	return &githelper.Jar{Path: d.State.Path("jar", name), Host: app.Origin.Hostname()}
}

// onePathElement makes one name of an escaped path, since /a/b may have an
// application beside that of /a.
var onePathElement = strings.NewReplacer("%2F", ":", ":", "%3A")

func jarName(o access.Origin) string { return strings.ReplaceAll(o.Host(), ":", "_") }

// WriteJar makes the session of cr the content of its application's cookie file.
// Credentials that are no cookie empty it.
func (d *Door) WriteJar(cr access.Credential) error {
	jar := d.Jar(cr.App)
	ck := cr.Cookie()
	if ck == nil {
		if _, err := os.Lstat(jar.Path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return jar.Remove()
	}
	path := cr.App.Path
	if path == "" {
		path = "/"
	}
	return jar.Save([]githelper.Cookie{{
		Name: ck.Name, Value: githelper.NewSecret(ck.Value), Path: path, Expires: ck.Expires, HTTPOnly: true,
	}})
}

// RemoveJars deletes the cookie files of an origin.
func (d *Door) RemoveJars(o access.Origin) error {
	errs := []error{d.Jar(access.App{Origin: o}).Remove()}
	byPath := filepath.Base(d.State.Path("jar", jarName(o)+":"))
	files, err := os.ReadDir(d.State.Path("jar"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), byPath) {
			errs = append(errs, os.Remove(filepath.Join(d.State.Path("jar"), f.Name())))
		}
	}
	return errors.Join(errs...)
}
