package testbed

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestWhatIsSharedIsMadeOnceInARun(t *testing.T) {
	t.Setenv(SharedDir, t.TempDir())
	var made atomic.Int32
	paths := make([]string, 8)
	var all sync.WaitGroup
	for i := range paths {
		all.Go(func() {
			path, err := shared("thing", "", func(path string) error {
				made.Add(1)
				return os.WriteFile(path, []byte("whole"), 0o600)
			})
			if err != nil {
				t.Error(err)
			}
			paths[i] = path
		})
	}
	all.Wait()
	for _, path := range paths {
		if data, err := os.ReadFile(path); err != nil || string(data) != "whole" {
			t.Errorf("%q, %v", data, err)
		}
	}
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
}

func TestWhatCouldNotBeMadeIsTriedAgain(t *testing.T) {
	t.Setenv(SharedDir, t.TempDir())
	broken := errors.New("broken")
	if _, err := shared("thing", "", func(path string) error {
		return errors.Join(os.WriteFile(path, []byte("half"), 0o600), broken)
	}); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	path, err := shared("thing", "", func(path string) error { return os.WriteFile(path, []byte("whole"), 0o600) })
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "whole" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestWithoutASharedDirectoryEachMakesItsOwn(t *testing.T) {
	t.Setenv(SharedDir, "")
	own := filepath.Join(t.TempDir(), "own")
	for range 2 {
		path, err := shared("thing", own, func(path string) error { return os.WriteFile(path, nil, 0o600) })
		if err != nil || path != own {
			t.Errorf("%s, %v", path, err)
		}
	}
}
