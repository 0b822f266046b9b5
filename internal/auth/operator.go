package auth

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/durable"
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
	data, err := read(path)
	if err != nil {
		return unwritable(path, err)
	}
	if text := strings.TrimSpace(string(data)); wellFormed(tokenPrefix, text) {
		t, ok, err := a.tokenOf(ctx, text)
		if err != nil {
			return err
		}
		if ok && t.Valid(time.Now()) {
			return nil
		}
	}
	text, _, err := a.Create(ctx, berth.System(), NewToken{Name: "operator"})
	if err != nil {
		return err
	}
	return write(path, text+"\n")
}

// read returns the file's content, nil if there is none. A link is not
// followed, and a file that others could read is closed to them.
func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		return nil, nil // write replaces a link by a file
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if err := f.Chmod(0o600); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, 4096))
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
	if err == nil {
		err = durable.SyncDir(filepath.Dir(path))
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
