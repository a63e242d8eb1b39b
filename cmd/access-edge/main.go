// Access-edge is an emulated Access edge on loopback, for trying the other
// programs out and for the tests of those who build on them. It is no security
// product: it lets everyone in who asks.
package main

import (
	"os"

	"github.com/gitaccess/gitaccess/internal/cli"
)

func main() { os.Exit(cli.Main("access-edge", run)) }
