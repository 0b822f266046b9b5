package secret_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/secret/secrettest"
)

const org = "550e8400-e29b-41d4-a716-446655440001"

func create(t *testing.T, dir string) *secret.Box {
	t.Helper()
	box, err := secrettest.Create(dir)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	return box
}

func seal(t *testing.T, box *secret.Box, plaintext, ad string) []byte {
	t.Helper()
	c, err := box.Seal([]byte(plaintext), ad)
	if err != nil {
		t.Fatalf("seal: %v", err)
	}
	return c
}

func TestWhatWasSealedOpensAfterARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	for _, plaintext := range []string{"", "x", "line\nline $HOME 'quoted' =", strings.Repeat("🚢", 16<<10)} {
		c := seal(t, create(t, dir), plaintext, berth.SecretContext(org, "KEY"))
		again, err := secrettest.Load(dir)
		if err != nil {
			t.Fatalf("load: %v", err)
		}
		got, err := again.Open(c, berth.SecretContext(org, "KEY"))
		if err != nil || string(got) != plaintext {
			t.Fatalf("opened %.20q, %v; want %.20q", got, err, plaintext)
		}
	}
}

func TestASecretMovedToAnotherPlaceDoesNotOpen(t *testing.T) {
	box := create(t, t.TempDir())
	const other = "550e8400-e29b-41d4-a716-446655440002"
	c := seal(t, box, "hunter2", berth.SecretContext(org, "KEY"))
	for _, ad := range []string{berth.SecretContext(other, "KEY"), berth.SecretContext(org, "OTHER"), berth.RegistryContext("KEY"), ""} {
		if got, err := box.Open(c, ad); err == nil {
			t.Errorf("opened as %q: %q", ad, got)
		} else if e := asError(t, err); e.Hint == "" {
			t.Errorf("no hint in %v", err)
		}
	}
}

func TestEveryChangedBitIsNoticed(t *testing.T) {
	box := create(t, t.TempDir())
	c := seal(t, box, "hunter2", "ad")
	for i := range len(c) * 8 {
		bad := bytes.Clone(c)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := box.Open(bad, "ad"); err == nil {
			t.Fatalf("bit %d flipped and not noticed", i)
		}
	}
	for n := range len(c) {
		if _, err := box.Open(c[:n], "ad"); err == nil {
			t.Fatalf("cut to %d bytes and not noticed", n)
		}
	}
}

func TestTheSameValueNeverLooksTheSame(t *testing.T) {
	box := create(t, t.TempDir())
	a, b := seal(t, box, "hunter2", "ad"), seal(t, box, "hunter2", "ad")
	if bytes.Equal(a, b) {
		t.Error("two ciphertexts of one value are equal")
	}
	if bytes.Contains(a, []byte("hunter2")) {
		t.Error("the value can be read in its ciphertext")
	}
}

func TestTheKeyFileIsForItsOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	create(t, dir)
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, secret.FileName): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v (%v), want the key file only", entries, err)
	}
}

func TestAKeyFileThatOthersReachIsRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o666, 0o611} {
		dir := t.TempDir()
		create(t, dir)
		if err := os.Chmod(filepath.Join(dir, secret.FileName), mode); err != nil {
			t.Fatal(err)
		}
		for name, open := range opens() {
			if _, err := open(dir); err == nil {
				t.Errorf("%s accepted mode %o", name, mode)
			} else if e := asError(t, err); !strings.Contains(e.Hint, "chmod 600") {
				t.Errorf("%s: the hint for mode %o is %q", name, mode, e.Hint)
			}
		}
	}
}

func TestAKeyFileThatIsNotAPlainFileIsRefused(t *testing.T) {
	elsewhere := t.TempDir()
	create(t, elsewhere)
	makers := map[string]func(path string) error{
		"a link to a key":   func(path string) error { return os.Symlink(filepath.Join(elsewhere, secret.FileName), path) },
		"a link to nowhere": func(path string) error { return os.Symlink(filepath.Join(elsewhere, "nothing"), path) },
		"a directory":       func(path string) error { return os.Mkdir(path, 0o700) },
	}
	for what, make := range makers {
		dir := t.TempDir()
		if err := make(filepath.Join(dir, secret.FileName)); err != nil {
			t.Fatal(err)
		}
		for name, open := range opens() {
			if _, err := open(dir); err == nil {
				t.Errorf("%s accepted %s", name, what)
			} else if e := asError(t, err); e.Code != berth.CodeStorageUnavailable || e.Hint == "" {
				t.Errorf("%s on %s: %v, hint %q", name, what, err, e.Hint)
			}
		}
		if _, err := os.Lstat(filepath.Join(elsewhere, "nothing")); err == nil {
			t.Error("a key was written through a link")
		}
	}
}

func TestALostKeyIsNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	_, err := secrettest.Load(dir)
	if err == nil {
		t.Fatal("loaded a key that is not there")
	}
	if e := asError(t, err); e.Code != berth.CodeStorageUnavailable || !strings.Contains(e.Hint, "restore") {
		t.Errorf("got %v, hint %q", err, e.Hint)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("Load left %v", entries)
	}
}

func TestADamagedKeyFileIsRefusedAndKept(t *testing.T) {
	good := t.TempDir()
	create(t, good)
	whole, err := os.ReadFile(filepath.Join(good, secret.FileName))
	if err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string][]byte{
		"an empty file": {}, "half a file": whole[:len(whole)/2], "text": []byte("hunter2"),
		"no keys": []byte(`{"version":1}`), "a newer version": bytes.Replace(whole, []byte(`"version":2`), []byte(`"version":3`), 1),
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, secret.FileName)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		for name, open := range opens() {
			if _, err := open(dir); err == nil {
				t.Errorf("%s accepted %s", name, what)
			} else if e := asError(t, err); e.Hint == "" || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s on %s: %v, hint %q", name, what, err, e.Hint)
			}
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
			t.Errorf("%s was changed", what)
		}
	}
}

func TestManyFirstStartsAtOnceMakeOneKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	boxes := make([]*secret.Box, 20)
	var wg sync.WaitGroup
	for i := range boxes {
		wg.Go(func() {
			box, err := secrettest.Create(dir)
			if err != nil {
				t.Errorf("create: %v", err)
			}
			boxes[i] = box
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	c := seal(t, boxes[0], "hunter2", "ad")
	for i, box := range boxes {
		if got, err := box.Open(c, "ad"); err != nil || string(got) != "hunter2" {
			t.Errorf("box %d has another key: %v", i, err)
		}
		if !bytes.Equal(box.SealKey(), boxes[0].SealKey()) {
			t.Errorf("box %d has another seal key", i)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v (%v), want the key file only", entries, err)
	}
}

func TestTheSealKeyIsTheInstallationsOwn(t *testing.T) {
	dir := t.TempDir()
	key := create(t, dir).SealKey()
	if len(key) != 32 {
		t.Fatalf("the seal key has %d bytes", len(key))
	}
	again, err := secrettest.Load(dir)
	if err != nil || !bytes.Equal(again.SealKey(), key) {
		t.Errorf("the seal key changed with a restart (%v)", err)
	}
	if bytes.Equal(create(t, t.TempDir()).SealKey(), key) {
		t.Error("two installations have the same seal key")
	}
	again.SealKey()[0] ^= 1
	if !bytes.Equal(again.SealKey(), key) {
		t.Error("a caller can change the seal key")
	}
}

func opens() map[string]func(string) (*secret.Box, error) {
	return map[string]func(string) (*secret.Box, error){"Load": secrettest.Load, "Create": secrettest.Create}
}

func asError(t *testing.T, err error) *berth.Error {
	t.Helper()
	e, ok := err.(*berth.Error)
	if !ok {
		t.Fatalf("%v is a %T, not a *berth.Error", err, err)
	}
	return e
}
