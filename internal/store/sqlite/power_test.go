package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

// disk is a VFS that knows what a power cut leaves of each file. It passes
// everything on to the operating system's, except that a sync only marks what
// was written before it as durable.
type disk struct {
	vfs.VFSFilename

	mu    sync.Mutex
	files map[string]*image
	steps int   // writes, truncations, syncs and deletions so far
	fail  int   // the step, from 1, that the power fails at; 0 for none
	cause error // what every step from then on returns
}

// image is a file as it is on the disk, and what was written since the last sync.
type image struct {
	durable []byte
	exists  bool // whether its name is on the disk
	pending []change
}

// change is a write, or a truncation if data is nil.
type change struct {
	at   int64
	data []byte
}

func newDisk(t testing.TB, failAt int, cause error) (*disk, string) {
	d := &disk{VFSFilename: vfs.Find("").(vfs.VFSFilename), files: map[string]*image{}, fail: failAt, cause: cause}
	name := "disk-" + berth.NewID()
	vfs.Register(name, d)
	t.Cleanup(func() { vfs.Unregister(name) })
	return d, "vfs=" + name + "&_pragma=wal_autocheckpoint(12)"
}

// step counts and returns the error of a disk without power.
func (d *disk) step() error {
	d.steps++
	if d.fail > 0 && d.steps >= d.fail {
		return d.cause
	}
	return nil
}

// cut takes the power away now.
func (d *disk) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = 1
}

func (d *disk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	path := name.String()
	content, missing := os.ReadFile(path)
	f, flags, err := d.VFSFilename.OpenFilename(name, flags)
	if err != nil || flags&(vfs.OPEN_MAIN_DB|vfs.OPEN_WAL|vfs.OPEN_MAIN_JOURNAL) == 0 {
		return f, flags, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[path] == nil {
		d.files[path] = &image{durable: content, exists: missing == nil}
	}
	return &file{File: f, disk: d, image: d.files[path]}, flags, nil
}

func (d *disk) Delete(path string, syncDir bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	delete(d.files, path)
	return d.VFSFilename.Delete(path, syncDir)
}

// file is one open file; several may share an image.
type file struct {
	vfs.File
	disk  *disk
	image *image
}

func (f *file) SharedMemory() vfs.SharedMemory {
	return f.File.(vfs.FileSharedMemory).SharedMemory()
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.image.pending = append(f.image.pending, change{off, append([]byte{}, p...)})
	if err := f.disk.step(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *file) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.image.pending = append(f.image.pending, change{at: size})
	if err := f.disk.step(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *file) Sync(vfs.SyncFlag) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.step(); err != nil {
		return err
	}
	for _, c := range f.image.pending {
		f.image.durable = c.apply(f.image.durable)
	}
	f.image.pending, f.image.exists = nil, true
	return nil
}

func (c change) apply(to []byte) []byte {
	end := c.at + int64(len(c.data))
	if c.data == nil {
		end = c.at
	}
	if int64(len(to)) < end {
		to = append(to, make([]byte, end-int64(len(to)))...)
	}
	if c.data == nil {
		return to[:end]
	}
	copy(to[c.at:], c.data)
	return to
}

// remains is what a power cut may leave of the writes that were not synced.
type remains func(*image) ([]byte, bool)

// nothing of it: the worst that a disk may do within its promise.
func nothing(i *image) ([]byte, bool) { return i.durable, i.exists }

// everything: what a killed process leaves.
func everything(i *image) ([]byte, bool) {
	content := append([]byte{}, i.durable...)
	for _, c := range i.pending {
		content = c.apply(content)
	}
	return content, true
}

// some of it, out of order and torn at sectors.
func some(rng *rand.Rand) remains {
	return func(i *image) ([]byte, bool) {
		const sector = 512
		content := append([]byte{}, i.durable...)
		for _, n := range rng.Perm(len(i.pending)) {
			c := i.pending[n]
			if c.data == nil {
				if rng.IntN(2) == 0 {
					content = c.apply(content)
				}
				continue
			}
			for from := 0; from < len(c.data); from += sector {
				if rng.IntN(2) == 0 {
					part := c.data[from:min(from+sector, len(c.data))]
					content = change{c.at + int64(from), part}.apply(content)
				}
			}
		}
		return content, i.exists || rng.IntN(2) == 0
	}
}

// leave writes the files as they are after the power comes back, and returns
// the path of the one named.
func (d *disk) leave(t *testing.T, what remains, database string) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	for path, i := range d.files {
		if content, ok := what(i); ok {
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return filepath.Join(dir, filepath.Base(database))
}

// order is one transaction over three tables: the n-th tenant, an event, and
// the count of both in the first tenant's generation.
func order(ctx context.Context, tx store.Tx, n int) error {
	if n > 0 {
		first, err := tx.Tenant(ctx, orgID(0))
		if err != nil {
			return err
		}
		first.Generation = n
		if err := tx.UpdateTenant(ctx, &first); err != nil {
			return err
		}
	}
	if err := tx.InsertTenant(ctx, newTenant(n)); err != nil {
		return err
	}
	return tx.InsertEvent(ctx, berth.Event{ID: berth.NewID(), OrganizationID: orgID(n), At: time.Unix(0, 0), Kind: "drift", Message: "x"})
}

// place opens the database and places so many orders, or fewer if the power
// fails. It returns how many were acknowledged.
func place(t *testing.T, orders int, path, query string) (acknowledged int) {
	t.Helper()
	ctx := t.Context()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path, Query: query})
	if err != nil {
		return 0
	}
	defer s.Close() // fails without power
	for n := range orders {
		if s.InTx(ctx, berth.System(), func(tx store.Tx) error { return order(ctx, tx, n) }) != nil {
			break
		}
		acknowledged++
	}
	return acknowledged
}

// check opens what a power cut left: all that was acknowledged is there, what
// was not is there whole or not at all.
func check(t *testing.T, path string, acknowledged int) {
	t.Helper()
	ctx := t.Context()
	_, query := newDisk(t, 0, nil) // spares the syncs
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path, Query: query})
	if err != nil {
		t.Fatalf("the database does not open again: %v", err)
	}
	defer s.Close()
	err = s.View(ctx, berth.System(), func(tx store.Tx) error {
		tenants, _, err := tx.ListTenants(ctx, store.TenantFilter{})
		if err != nil {
			return err
		}
		events, _, err := tx.ListEvents(ctx, "", store.Page{})
		if err != nil {
			return err
		}
		if len(tenants) < acknowledged || len(tenants) > acknowledged+1 || len(events) != len(tenants) {
			t.Fatalf("%d orders were acknowledged; %d tenants and %d events are there", acknowledged, len(tenants), len(events))
		}
		for n, tenant := range tenants {
			if tenant.OrganizationID != orgID(n) {
				t.Fatalf("tenant %d is %s", n, tenant.OrganizationID)
			}
		}
		if len(tenants) > 1 && tenants[0].Generation != len(tenants)-1 {
			t.Fatalf("%d tenants, but generation %d", len(tenants), tenants[0].Generation)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("read what is left: %v", err)
	}
	if got := integrity(t, path); got != "ok" {
		t.Fatalf("integrity check: %s", got)
	}
}

func TestAPowerCutAtAnyMomentLosesNothingThatWasAcknowledged(t *testing.T) {
	template := filepath.Join(t.TempDir(), "berth.db")
	if err := mustOpen(t, template).Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("of a running store", func(t *testing.T) { cutEverywhere(t, template, 6) })
	t.Run("of a first start", func(t *testing.T) { cutEverywhere(t, "", 1) })
}

// cutEverywhere places orders on copies of template, or on nothing, and takes
// the power away at every step.
func cutEverywhere(t *testing.T, template string, orders int) {
	whole, query := newDisk(t, 0, nil)
	if got := place(t, orders, freshCopy(t, template), query); got != orders {
		t.Fatalf("with power, %d orders of %d were acknowledged", got, orders)
	}
	steps := whole.steps
	t.Logf("%d steps", steps)
	for at := 1; at <= steps; at += stride {
		t.Run(fmt.Sprint("step ", at), func(t *testing.T) {
			t.Parallel()
			d, query := newDisk(t, at, sqlite3.IOERR_WRITE)
			path := freshCopy(t, template)
			acknowledged := place(t, orders, path, query)
			rng := rand.New(rand.NewPCG(uint64(at), 7))
			check(t, d.leave(t, nothing, path), acknowledged)
			check(t, d.leave(t, some(rng), path), acknowledged)
			check(t, d.leave(t, everything, path), acknowledged)
		})
	}
}

// The disk above is only worth something if it loses what was not synced.
func TestTheDiskOfThePowerTestsLosesWhatWasNotSynced(t *testing.T) {
	d, query := newDisk(t, 0, sqlite3.IOERR_WRITE)
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := driver.Open("file:" + path + "?" + query + "&_pragma=journal_mode(wal)&_pragma=synchronous(normal)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{"CREATE TABLE t (n)", "PRAGMA wal_checkpoint", "INSERT INTO t VALUES (1)"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	d.cut()
	left, err := driver.Open("file:" + d.leave(t, nothing, path))
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	var rows int
	if err := left.QueryRow("SELECT count(*) FROM t").Scan(&rows); err != nil || rows != 0 {
		t.Fatalf("%d rows survived without a sync (%v)", rows, err)
	}
}

func TestADiskThatFailsIsReportedAndNothingAcknowledgedIsLost(t *testing.T) {
	for _, cause := range []error{sqlite3.FULL, sqlite3.IOERR_FSYNC, sqlite3.READONLY, errors.New("device gone")} {
		t.Run(cause.Error(), func(t *testing.T) {
			t.Parallel()
			d, query := newDisk(t, 0, cause)
			path := filepath.Join(t.TempDir(), "berth.db")
			ctx := t.Context()
			s, err := sqlite.Open(ctx, sqlite.Options{Path: path, Query: query})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			write := func(n int) error {
				return s.InTx(ctx, berth.System(), func(tx store.Tx) error { return order(ctx, tx, n) })
			}
			if err := write(0); err != nil {
				t.Fatal(err)
			}
			d.mu.Lock()
			d.fail = d.steps + 1
			d.mu.Unlock()
			for range 2 {
				err := write(1)
				var e *berth.Error
				if !errors.As(err, &e) || e.Code != berth.CodeStorageUnavailable || e.Hint == "" {
					t.Fatalf("got %v, want %s with a hint", err, berth.CodeStorageUnavailable)
				}
			}
			// Reading goes on meanwhile, and writing when the disk is back.
			if _, err := read(ctx, s, orgID(0)); err != nil {
				t.Errorf("read while the disk fails: %v", err)
			}
			d.mu.Lock()
			d.fail = 0
			d.mu.Unlock()
			if err := write(1); err != nil {
				t.Fatalf("write when the disk is back: %v", err)
			}
			d.cut()
			check(t, d.leave(t, nothing, path), 2)
		})
	}
}

func orgID(n int) string { return fmt.Sprintf("550e8400-e29b-41d4-a716-%012x", n) }

func newTenant(n int) berth.Tenant {
	at := time.Unix(1_700_000_000, 0)
	return berth.Tenant{
		ID: berth.NewID(), OrganizationID: orgID(n), Name: fmt.Sprint("Tenant ", n), Slug: fmt.Sprint("tenant-", n),
		Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(64 + n>>12), byte(n >> 4), byte(n << 4)}), 28), ExternalPort: 3001 + n,
		URL: "http://localhost", Want: berth.WantRunning, Status: berth.StatusRunning, Health: berth.HealthHealthy,
		Spec: berth.Spec{ImageTag: "latest", Blueprint: "single@1", Limits: berth.DefaultLimits(), Replicas: 1, InternalPort: 3000,
			Environment: map[string]string{"A": berth.NewID(), "B": berth.NewID()}},
		CreatedAt: at, UpdatedAt: at,
	}
}

func read(ctx context.Context, s *sqlite.Store, organizationID string) (got berth.Tenant, err error) {
	err = s.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		got, err = tx.Tenant(ctx, organizationID)
		return err
	})
	return got, err
}

func mustOpen(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// freshCopy returns the path of a copy of a closed database, or of none.
func freshCopy(t *testing.T, template string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth.db")
	if template == "" {
		return path
	}
	from, err := os.Open(template)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// integrity runs SQLite's own check over a file.
func integrity(t testing.TB, path string) (verdict string) {
	t.Helper()
	db, err := driver.Open("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil {
		t.Fatal(err)
	}
	return verdict
}
