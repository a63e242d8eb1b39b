//go:build !cgo

package keystore

import "context"

func openKeychain(context.Context, *config) (backend, error) {
	return text{securityTool{"/usr/bin/security"}}, nil
}
