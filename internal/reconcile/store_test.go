package reconcile_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/unite-hub/berth/internal/store/sqlite"
)

// unsynced names a file system that never waits for the disk. The power does not
// fail in these tests; what happens then is for the store's own.
const unsynced = "unsynced"

type forgetful struct{ vfs.VFSFilename }

func (v forgetful) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := v.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return f, flags, err
	}
	return forgetfulFile{f}, flags, nil
}

type forgetfulFile struct{ vfs.File }

func (forgetfulFile) Sync(vfs.SyncFlag) error { return nil }

func (f forgetfulFile) SharedMemory() vfs.SharedMemory {
	return f.File.(vfs.FileSharedMemory).SharedMemory()
}

// openStore opens a database that is empty but for its schema, which is made once
// for all tests.
func openStore(path string) (*sqlite.Store, error) {
	file, err := emptyDatabase()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		return nil, err
	}
	return sqlite.Open(context.Background(), sqlite.Options{Path: path, Query: "vfs=" + unsynced})
}

var emptyDatabase = sync.OnceValues(func() (file []byte, err error) {
	dir, err := os.MkdirTemp("", "berth-empty")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "berth.db")
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: path, Query: "vfs=" + unsynced})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil { // the log goes into the file
		return nil, err
	}
	return os.ReadFile(path)
})
