package docker

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A pass is spread over its time; trees that take long, and such as are gone,
// cost their own tenants only.
func TestDisksAreMeasuredOneAfterTheOtherThoughSomeAreHuge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		told := map[string]time.Duration{}
		p := pass{
			walk: func(ctx context.Context, root string) (int64, error) {
				took := 20 * time.Millisecond
				switch root {
				case "huge":
					took = time.Hour
				case "gone":
					return 0, fs.ErrNotExist
				}
				select {
				case <-ctx.Done():
					return 0, ctx.Err()
				case <-time.After(took):
					return 100, nil
				}
			},
			tell: func(org string, bytes int64) {
				if bytes != 200 {
					t.Errorf("%s: %d bytes", org, bytes)
				}
				told[org] = time.Since(began)
			},
		}
		roots := map[string][]string{}
		for n := range 600 {
			org := fmt.Sprintf("%03d", n)
			roots[org] = []string{"a", "b"}
			switch {
			case n%200 == 7:
				roots[org][1] = "huge"
			case n%200 == 9:
				roots[org][0] = "gone"
			}
		}
		p.run(t.Context(), roots, 5*time.Minute)
		if len(told) != 594 || p.seen != 597 || p.hidden != 3 {
			t.Errorf("%d of 594 told, %d seen, %d hidden", len(told), p.seen, p.hidden)
		}
		if at := told["300"]; at < 2*time.Minute || at > 4*time.Minute {
			t.Errorf("the one in the middle after %v", at)
		}
		if at := told["599"]; at > 6*time.Minute {
			t.Errorf("the last one after %v", at)
		}
	})
}

// What a tenant does to its own volume meanwhile is not taken for a volume that
// can't be seen.
func TestAVolumeThatChangesWhileItIsWalkedIsMeasured(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	for n := range 2 {
		busy.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := filepath.Join(dir, fmt.Sprint(n, i%50))
				_ = os.MkdirAll(filepath.Join(name, "deep"), 0o700) // and it is gone again
				_ = os.RemoveAll(name)
			}
		})
	}
	for range 2000 {
		if _, err := walk(t.Context(), dir); err != nil {
			t.Errorf("%v", err)
			break
		}
	}
	cancel()
	busy.Wait()
}
