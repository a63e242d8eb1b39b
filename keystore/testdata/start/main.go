// Start is a program that has the keystore in it and does not use it: what it costs is what importing costs.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/gitaccess/gitaccess/keystore"
)

func main() {
	if len(os.Args) < 2 {
		return
	}
	switch os.Args[1] {
	case "env": // as main sees it
		for _, v := range os.Environ() {
			fmt.Printf("%q\n", v)
		}
	case "get":
		s, err := keystore.Open(context.Background(), nil)
		if err == nil {
			_, err = s.Get(context.Background(), os.Args[2])
		}
		fmt.Println(err)
	}
}
