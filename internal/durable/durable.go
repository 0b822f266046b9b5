// Package durable makes what was done to files survive a loss of power.
package durable

import (
	"errors"
	"os"
)

// SyncDir makes the names in a directory durable: that a file was created,
// linked or renamed there. What the file holds, its own Sync makes durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
