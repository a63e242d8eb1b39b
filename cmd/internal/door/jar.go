package door

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/githelper"
)

// Jar returns the cookie file of an origin, from which git takes the session.
func (d *Door) Jar(o access.Origin) *githelper.Jar {
	return &githelper.Jar{
		Path: d.State.Path("jar", strings.ReplaceAll(o.Host(), ":", "_")),
		Host: o.Hostname(),
	}
}

// WriteJar makes the session of cr the content of its origin's cookie file.
// Credentials that are no cookie empty it.
func (d *Door) WriteJar(cr access.Credential) error {
	jar := d.Jar(cr.App.Origin)
	ck := cr.Cookie()
	if ck == nil {
		if _, err := os.Lstat(jar.Path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return jar.Remove()
	}
	return jar.Save([]githelper.Cookie{{
		Name: ck.Name, Value: githelper.NewSecret(ck.Value), Path: "/", Expires: ck.Expires, HTTPOnly: true,
	}})
}

// RemoveJar deletes the cookie file of an origin, if there is one.
func (d *Door) RemoveJar(o access.Origin) error { return d.Jar(o).Remove() }
