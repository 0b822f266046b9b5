package auth

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/unite-hub/berth"
)

// OperatorFile is the file in the state directory that holds the first
// operator's token, for its owner only.
const OperatorFile = "operator-token"

// EnsureOperatorToken makes an operator's token on the first start and writes
// its text to OperatorFile. A file that holds a valid token is kept. If the
// file was removed, another token is made: the old one stays valid until it is
// revoked.
func (a *Auth) EnsureOperatorToken(ctx context.Context, stateDir string) error {
	path := filepath.Join(stateDir, OperatorFile)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwritable(path, err)
	}
	if text := strings.TrimSpace(string(data)); wellFormed(text) {
		t, ok, err := a.find(ctx, text)
		if err != nil {
			return err
		}
		if ok && t.Valid(time.Now()) {
			return nil
		}
	}
	text, _, err := a.Create(ctx, berth.System(), "operator", time.Time{})
	if err != nil {
		return err
	}
	return write(path, text+"\n")
}

// write puts a file in place whole, or not at all.
func write(path, content string) error {
	temp := path + ".tmp"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwritable(path, err)
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return unwritable(path, err)
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return unwritable(path, err)
	}
	return nil
}

func unwritable(path string, err error) error {
	return berth.Errorf(berth.CodeStorageUnavailable, "write %s: %w", path, err).
		WithHint("check the state directory's owner, its mode and the space left on its disk")
}
