package secret

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/unite-hub/berth/internal/durable"
)

// largest bounds what is read; a file of hundreds of keys stays far below it.
const largest = 1 << 20

// read returns the content of a key file that only its owner can reach, and
// which file that was.
func read(path string) ([]byte, fs.FileInfo, error) {
	named, err := os.Lstat(path)
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	if !named.Mode().IsRegular() {
		return nil, nil, notRegular(path, named)
	}
	// It may be replaced between the two looks, by a file as good.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	defer f.Close() // read only
	opened, err := f.Stat()
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	if !opened.Mode().IsRegular() {
		return nil, nil, notRegular(path, opened)
	}
	if perm := opened.Mode().Perm(); perm&0o077 != 0 {
		return nil, nil, unusable(path, nil, "Key file %s has mode %#o: others can reach it", path, perm).
			WithHint("chmod 600 %s; if others may have read it, treat every secret as known", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, largest))
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	return data, opened, nil
}

func notRegular(path string, info fs.FileInfo) error {
	return unusable(path, nil, "Key file %s is not a regular file but %s", path, kindOf(info.Mode())).
		WithHint("put the file itself in its place: a link could lead to one that others can change")
}

func unreadable(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err // the caller knows what that means
	}
	return unusable(path, err, "Key file %s can't be read", path).WithHint("the user that runs Berth must own it")
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m.IsDir():
		return "a directory"
	default:
		return "something else"
	}
}

// createWhole writes a new file whole, or leaves the one that is there. After it
// returns nil, one complete file is on disk.
func createWhole(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if gone := os.Remove(f.Name()); gone != nil && err == nil {
			err = gone
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	// Link, not rename: whoever comes second finds the first one's file.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncDir(dir)
}

// replace puts a file in the place of the one at path, which keeps its owner.
// A crash leaves one of the two, whole, and perhaps a file that removeLeftovers finds.
func replace(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	old, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the next start takes it, if this fails too
		}
	}()
	if owner, ok := old.Sys().(*syscall.Stat_t); ok {
		err = f.Chown(int(owner.Uid), int(owner.Gid))
	}
	if err == nil {
		_, err = f.Write(data)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}
