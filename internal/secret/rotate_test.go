package secret_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/secret/secrettest"
)

var then = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func rotate(t *testing.T, box *secret.Box) berth.Key {
	t.Helper()
	k, err := box.Rotate(t.Context(), then)
	if err != nil {
		t.Fatalf("rotate: %v", err)
	}
	return k
}

func wantOpen(t *testing.T, box *secret.Box, c []byte, want string) {
	t.Helper()
	if got, err := box.Open(c, "ad"); err != nil || string(got) != want {
		t.Errorf("opened %q, %v; want %q", got, err, want)
	}
}

func TestARotatedKeyEncryptsAndTheOldOneStillOpens(t *testing.T) {
	dir := t.TempDir()
	box := create(t, dir)
	sealKey := box.SealKey()
	before := seal(t, box, "before", "ad")
	made := rotate(t, box)
	after := seal(t, box, "after", "ad")
	if id, ok := secret.KeyOf(after); !ok || id != made.ID {
		t.Errorf("sealed under %d, want the new key %d", id, made.ID)
	}
	again, err := secrettest.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []*secret.Box{box, again} {
		wantOpen(t, b, before, "before")
		wantOpen(t, b, after, "after")
		if !bytes.Equal(b.SealKey(), sealKey) {
			t.Error("the key of the seals changed")
		}
	}
	list, err := again.Keys()
	if err != nil || len(list) != 2 || list[0].Primary || !list[1].Primary || list[1].ID != made.ID || !list[1].CreatedAt.Equal(then) || list[0].CreatedAt.IsZero() {
		t.Errorf("keys: %+v, %v", list, err)
	}
	info, err := os.Stat(filepath.Join(dir, secret.FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
}

func TestAnotherProcessSealsWithTheNewKeyAtOnce(t *testing.T) {
	dir := t.TempDir()
	box := create(t, dir)
	other, err := secrettest.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	made := rotate(t, box)
	wantOpen(t, other, seal(t, box, "new", "ad"), "new")
	if id, _ := secret.KeyOf(seal(t, other, "x", "ad")); id != made.ID {
		t.Errorf("the other process sealed under %d, want %d", id, made.ID)
	}
	if id, err := other.Primary(); err != nil || id != made.ID {
		t.Errorf("primary %d, %v", id, err)
	}
}

func TestOnlyAKeyThatDoesNotEncryptIsRetired(t *testing.T) {
	dir := t.TempDir()
	box := create(t, dir)
	first, err := box.Primary()
	if err != nil {
		t.Fatal(err)
	}
	old := seal(t, box, "old", "ad")
	if err := box.Retire(t.Context(), first); !berth.Is(err, berth.CodeInvalidRequest) {
		t.Errorf("the primary key: %v", err)
	}
	if err := box.Retire(t.Context(), first+1); !berth.Is(err, berth.CodeNotFound) {
		t.Errorf("an unknown key: %v", err)
	}
	rotate(t, box)
	if err := box.Retire(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	_, err = box.Open(old, "ad")
	if e := asError(t, err); !strings.Contains(e.Hint, "retired") {
		t.Errorf("under a retired key: %v, hint %q", err, e.Hint)
	}
	if list, err := box.Keys(); err != nil || len(list) != 1 {
		t.Errorf("keys: %+v, %v", list, err)
	}
}

// The first version of the file had no KMS and no times.
func TestAFileOfTheFirstVersionIsReadAndRotated(t *testing.T) {
	dir := t.TempDir()
	box := create(t, dir)
	path := filepath.Join(dir, secret.FileName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Content []byte }
	var content map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(data, &file), json.Unmarshal(file.Content, &content)); err != nil {
		t.Fatal(err)
	}
	first := fmt.Appendf(nil, `{"version":1,"keyset":%s,"seal":%s}`, content["keyset"], content["seal"])
	if err := os.WriteFile(path, first, 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := secrettest.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := seal(t, old, "value", "ad")
	wantOpen(t, box, c, "value")
	rotate(t, old)
	again, err := secrettest.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantOpen(t, again, c, "value")
	if list, err := again.Keys(); err != nil || len(list) != 2 || !list[0].CreatedAt.IsZero() || !bytes.Equal(again.SealKey(), box.SealKey()) {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestNothingIsSealedWithKeysWhoseFileIsGoneOrAnothers(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	box := create(t, dir)
	create(t, elsewhere)
	c := seal(t, box, "value", "ad")
	path := filepath.Join(dir, secret.FileName)
	for what, change := range map[string]func() error{
		"gone":      func() error { return os.Remove(path) },
		"damaged":   func() error { return os.WriteFile(path, []byte("{}"), 0o600) },
		"another's": func() error { return os.Rename(filepath.Join(elsewhere, secret.FileName), path) },
	} {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if _, err := box.Seal([]byte("x"), "ad"); !berth.Is(err, berth.CodeStorageUnavailable) {
			t.Errorf("%s: sealed all the same, %v", what, err)
		}
		wantOpen(t, box, c, "value")
		if err := os.WriteFile(path+".whole", whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".whole", path); err != nil {
			t.Fatal(err)
		}
		seal(t, box, "again", "ad")
	}
}

func TestReadsAndWritesGoOnWhileKeysRotate(t *testing.T) {
	dir := t.TempDir()
	box := create(t, dir)
	other, err := secrettest.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	for i, pair := range [][2]*secret.Box{{box, other}, {other, box}, {box, box}, {other, other}} {
		busy.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				want := fmt.Sprint(i, n)
				c, err := pair[0].Seal([]byte(want), "ad")
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := pair[1].Open(c, "ad"); err != nil || string(got) != want {
					t.Errorf("opened %q, %v; want %q", got, err, want)
					return
				}
			}
		})
	}
	for i := range 60 {
		if _, err := []*secret.Box{box, other}[i%2].Rotate(t.Context(), then); err != nil {
			t.Error(err)
		}
	}
	stop()
	busy.Wait()
}

func TestWhoComesSecondToRotateIsToldToTryAgain(t *testing.T) {
	dir := t.TempDir()
	boxes := make([]*secret.Box, 8)
	for i := range boxes {
		boxes[i] = create(t, dir)
	}
	var rotated sync.Map
	var wg sync.WaitGroup
	for _, box := range boxes {
		wg.Go(func() {
			k, err := box.Rotate(t.Context(), then)
			if err == nil {
				rotated.Store(k.ID, true)
			} else if !strings.Contains(err.Error(), "being changed by another") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	again, err := secrettest.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := again.Keys()
	if err != nil {
		t.Fatal(err)
	}
	there := map[uint32]bool{}
	for _, k := range list {
		there[k.ID] = true
	}
	rotated.Range(func(id, _ any) bool {
		if !there[id.(uint32)] {
			t.Errorf("key %d was reported and is not there", id)
		}
		return true
	})
}

const rotateUntilKilled = "BERTH_TEST_ROTATE_UNTIL_KILLED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(rotateUntilKilled); dir != "" {
		if err := rotateForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// rotateForEver says each key that it made, once Rotate has returned. It
// retires what is three rotations old.
func rotateForEver(dir string) error {
	box, err := secrettest.Load(dir)
	if err != nil {
		return err
	}
	for {
		k, err := box.Rotate(context.Background(), then)
		if err != nil {
			return err
		}
		c, err := box.Seal([]byte("value"), "ad")
		if err != nil {
			return err
		}
		fmt.Printf("%d %x\n", k.ID, c)
		list, err := box.Keys()
		if err != nil {
			return err
		}
		if len(list) > 3 {
			if err := box.Retire(context.Background(), list[0].ID); err != nil {
				return err
			}
		}
	}
}

// output keeps what was written, and tells of the first line.
type output struct {
	text  bytes.Buffer // not embedded: its ReadFrom would go around Write
	begun chan struct{}
	once  sync.Once
}

func (o *output) Write(p []byte) (int, error) {
	if bytes.ContainsRune(p, '\n') {
		defer o.once.Do(func() { close(o.begun) })
	}
	return o.text.Write(p)
}

func TestAKillAtAnyMomentOfARotationLosesNoKey(t *testing.T) {
	dir := t.TempDir()
	box := create(t, dir)
	sealKey := box.SealKey()
	for i := range 25 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), rotateUntilKilled+"="+dir)
		out := output{begun: make(chan struct{})}
		var errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-out.begun:
		case <-time.After(30 * time.Second):
			t.Error("it rotates nothing")
		}
		<-time.After(time.Duration(i) * 1700 * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		if errs.Len() > 0 {
			t.Fatalf("rotating: %s", errs.String())
		}
		again, err := secrettest.Load(dir)
		if err != nil {
			t.Fatalf("after kill %d: %v", i, err)
		}
		if !bytes.Equal(again.SealKey(), sealKey) {
			t.Fatal("the key of the seals changed")
		}
		lines := strings.Split(strings.TrimSpace(out.text.String()), "\n")
		last := lines[len(lines)-1]
		if !strings.HasSuffix(out.text.String(), "\n") && len(lines) > 1 {
			last = lines[len(lines)-2]
		}
		var id uint32
		var c []byte
		if _, err := fmt.Sscanf(last, "%d %x", &id, &c); err != nil {
			t.Fatal(err)
		}
		wantOpen(t, again, c, "value")
	}
	rotate(t, box) // removes leftovers
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 { // the file and its lock
		t.Errorf("left: %v, %v", left, err)
	}
}

// A crash may leave a replacement beside the file, whole or not.
func TestWhatACrashLeftOfARotationIsSwept(t *testing.T) {
	dir := t.TempDir()
	box := create(t, dir)
	path := filepath.Join(dir, secret.FileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range [][]byte{{}, whole[:len(whole)/2], whole} {
		name := filepath.Join(dir, "."+secret.FileName+".new-123")
		if err := os.WriteFile(name, left, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := secrettest.Load(dir); err != nil {
			t.Error(err)
		}
		rotate(t, box)
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("left beside the file: %v", err)
		}
	}
}

func TestAFileThatCantBeWrittenStaysAsItWas(t *testing.T) {
	dir := t.TempDir()
	box := create(t, dir)
	path := filepath.Join(dir, secret.FileName)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".lock", 0o700); err != nil { // nothing can be locked: not for root either
		t.Fatal(err)
	}
	_, err = box.Rotate(t.Context(), then)
	if e := asError(t, err); e.Code != berth.CodeStorageUnavailable || e.Hint == "" {
		t.Errorf("%v, hint %q", err, e.Hint)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed: %v", err)
	}
}
