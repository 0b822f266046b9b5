package blueprint

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/unite-hub/berth"
)

// Files keeps each tenant's rendered compose file below the state directory:
// docker/tenants/tenant_<organizationId>/docker-compose.yml. It never follows
// a link out of that directory.
type Files struct {
	dir  string
	root *os.Root
}

const (
	composeName = "docker-compose.yml"
	envName     = ".env" // secrets in clear, on order only
)

// NewFiles makes the directory if it is not there. Close it after use.
func NewFiles(stateDir string) (*Files, error) {
	dir := filepath.Join(stateDir, "docker", "tenants")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unwritable(dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, unwritable(dir, err)
	}
	return &Files{dir: dir, root: root}, nil
}

// Close releases the directory.
func (f *Files) Close() error { return f.root.Close() }

// Path is where an organization's file lies, whether it is there or not.
func (f *Files) Path(organizationID string) string {
	return filepath.Join(f.dir, berth.ContainerName(organizationID), composeName)
}

// Write replaces an organization's file, at once and durably. A file that is
// the same already is left alone.
func (f *Files) Write(organizationID string, data []byte) error {
	return f.write(organizationID, composeName, data)
}

// WriteEnv puts the tenant's secrets in clear beside the file, and returns
// where.
func (f *Files) WriteEnv(organizationID string, data []byte) (path string, err error) {
	return filepath.Join(filepath.Dir(f.Path(organizationID)), envName), f.write(organizationID, envName, data)
}

func (f *Files) write(organizationID, base string, data []byte) error {
	dir := berth.ContainerName(organizationID)
	name := dir + "/" + base
	if old, err := f.root.ReadFile(name); err == nil && bytes.Equal(old, data) {
		return nil
	}
	err := f.root.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return unwritable(f.Path(organizationID), err)
	}
	// A link to another tenant's directory stays inside the root, and is as
	// wrong as one that leads out of it.
	if info, err := f.root.Lstat(dir); err != nil || !info.IsDir() {
		return unwritable(f.Path(organizationID), errors.Join(err, fs.ErrInvalid))
	}
	if err := f.replace(name, data); err != nil {
		return unwritable(f.Path(organizationID), err)
	}
	return errors.Join(f.sync(dir), f.sync("."))
}

// sync makes the names in a directory durable. durable.SyncDir would open a path, which
// a link may lead out of the root.
func (f *Files) sync(dir string) error {
	d, err := f.root.Open(dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return unwritable(filepath.Join(f.dir, dir), err)
	}
	return nil
}

func (f *Files) replace(name string, data []byte) error {
	temp := name + ".tmp"
	if err := f.root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return f.root.Rename(temp, name)
}

// Remove takes an organization's files away, and their directory if nothing
// else is in it. It is no error if they are not there.
func (f *Files) Remove(organizationID string) error {
	if err := f.remove(organizationID, composeName, envName); err != nil {
		return err
	}
	// What an operator put beside the files keeps the directory.
	_ = f.root.Remove(berth.ContainerName(organizationID))
	return nil
}

// Forget takes the secrets away that WriteEnv wrote.
func (f *Files) Forget(organizationID string) error { return f.remove(organizationID, envName) }

func (f *Files) remove(organizationID string, names ...string) error {
	for _, name := range names {
		path := berth.ContainerName(organizationID) + "/" + name
		for _, p := range []string{path + ".tmp", path} {
			if err := f.root.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return unwritable(f.Path(organizationID), err)
			}
		}
	}
	return nil
}

func unwritable(path string, err error) error {
	return berth.Errorf(berth.CodeStorageUnavailable, "write %s: %w", path, err).
		WithHint("check the state directory's owner, its mode and the space left on its disk")
}
