// Package secrettest opens the key files of tests: in a state directory, in clear.
package secrettest

import (
	"context"
	"path/filepath"

	"github.com/unite-hub/berth/internal/secret"
)

// Load is secret.LoadFile for the key file of a state directory.
func Load(dir string) (*secret.Box, error) {
	return secret.LoadFile(context.Background(), filepath.Join(dir, secret.FileName), secret.InClear())
}

// Create is secret.CreateFile for the key file of a state directory.
func Create(dir string) (*secret.Box, error) {
	return secret.CreateFile(context.Background(), filepath.Join(dir, secret.FileName), secret.InClear())
}
