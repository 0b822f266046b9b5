package cli

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/durable"
)

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Save a consistent copy of the database while it is in use", Args: cobra.ExactArgs(1),
		Long: `Save a consistent copy of the database while it is in use. FILE must not exist,
and appears only when the copy is whole. The key that opens the secrets in it,
secret.key in the state directory, is not in it: keep that apart.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if _, err := os.Lstat(args[0]); err == nil {
				return fmt.Errorf("%s exists: give the name of a new file", args[0])
			}
			b, err := c.Backup(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { _ = b.Close() }()
			if err := save(args[0], b); err != nil {
				return fmt.Errorf("save backup: %w", err)
			}
			if err := durable.SyncDir(filepath.Dir(args[0])); err != nil {
				return fmt.Errorf("save backup: %w", err)
			}
			_, err = fmt.Fprintf(a.Stdout, "%s, %d bytes, SHA-256 %x\n", args[0], b.Size, b.SHA256)
			return err
		},
	}
}

// save writes the copy beside its place and moves it there once it is whole.
func save(path string, b *client.Backup) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".berth-backup-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), b)
	if err == nil && (n != b.Size || !bytes.Equal(h.Sum(nil), b.SHA256)) {
		err = fmt.Errorf("the copy is not whole: %d of %d bytes", n, b.Size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
