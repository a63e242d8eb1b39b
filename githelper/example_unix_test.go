//go:build unix

package githelper_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/gitaccess/gitaccess/githelper"
)

// Git's configuration for a host, and what it was before.
func ExampleHostConfig() {
	before := []byte("[user]\n\tname = Ada\n")
	h := &githelper.HostConfig{Origin: "https://git.example.com", Helper: "/usr/bin/example-helper", Jar: "/home/ada/.cache/jar",
		Note: `"example unsetup" takes these lines away`}
	after, err := h.Set(before, githelper.Version{Major: 2, Minor: 47})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(after))
	fmt.Println(bytes.Equal(githelper.Unset(after, h.Origin), before))
	// Output:
	// [user]
	// 	name = Ada
	// [credential "https://git.example.com"]
	// 	# gitaccess: "example unsetup" takes these lines away
	// 	helper = # gitaccess
	// 	helper = /usr/bin/example-helper # gitaccess
	// [http "https://git.example.com/"]
	// 	cookieFile = /home/ada/.cache/jar # gitaccess
	// 	saveCookies = false # gitaccess
	// 	proactiveAuth = auto # gitaccess
	// [lfs "https://git.example.com"]
	// 	access = basic # gitaccess
	// true
}
