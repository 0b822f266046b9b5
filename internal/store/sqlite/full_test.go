package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// smallDisk mounts a file system of 2 MB, which needs root.
func smallDisk(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatalf("mount: %v; run the tests as root, as make test does", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill takes all the space that is left on a disk but so many bytes.
func fill(t *testing.T, dir string, but int) (ballast string) {
	t.Helper()
	ballast = filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := int64(0)
	for chunk := make([]byte, 4096); ; {
		n, err := f.Write(chunk)
		size += int64(n)
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(max(0, size-int64(but))); err != nil {
		t.Fatal(err)
	}
	return ballast
}

// However much room is left when the disk fills up, orders are refused with the
// cause from then on, and what was acknowledged stays.
func TestAFullDiskRefusesOrdersAndLosesNothingThatWasAcknowledged(t *testing.T) {
	for _, room := range []int{0, 4096, 32 * 1024, 300 * 1024} {
		t.Run(fmt.Sprint(room, " bytes left"), func(t *testing.T) { testFullDisk(t, room) })
	}
}

func TestADatabaseIsNotBegunOnAFullDisk(t *testing.T) {
	dir := smallDisk(t)
	ballast := fill(t, dir, 0)
	path := filepath.Join(dir, "berth.db")
	if e := refused(t, path, "disk"); !strings.Contains(e.Hint, "full") {
		t.Errorf("the hint does not say what to look at: %s", e.Hint)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func testFullDisk(t *testing.T, room int) {
	dir := smallDisk(t)
	path := filepath.Join(dir, "berth.db")
	ctx := t.Context()
	s := open(t, path)
	write := func(n int) error {
		return s.InTx(ctx, berth.System(), func(tx store.Tx) error { return order(ctx, tx, n) })
	}
	acknowledged := 0
	for ; acknowledged < 3; acknowledged++ {
		if err := write(acknowledged); err != nil {
			t.Fatal(err)
		}
	}
	ballast := fill(t, dir, room)
	refusals := 0
	for range 2000 {
		err := write(acknowledged)
		if err == nil {
			acknowledged++
			continue
		}
		var e *berth.Error
		if !errors.As(err, &e) || e.Code != berth.CodeStorageUnavailable || !strings.Contains(e.Hint, "full") || e.Err == nil {
			t.Fatalf("got %v, want %s with its cause and what to do", err, berth.CodeStorageUnavailable)
		}
		if refusals++; refusals == 5 {
			break
		}
	}
	if refusals < 5 {
		t.Fatalf("%d orders were taken on a full disk", acknowledged)
	}
	for n := range acknowledged { // what is shown goes on
		if _, err := read(ctx, s, orgID(n)); err != nil {
			t.Fatalf("read of %d while the disk is full: %v", n, err)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := write(acknowledged); err != nil {
			t.Fatalf("write when there is space again: %v", err)
		}
		acknowledged++
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, path, acknowledged)
}
