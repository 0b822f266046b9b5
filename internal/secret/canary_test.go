package secret_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

func TestAStolenStateDirectoryWithoutItsKeyTellsNoSecret(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	box := create(t, dir)
	db, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const canary = "canary-8c1f0e52-value"
	err = db.InTx(ctx, berth.System(), func(tx store.Tx) error {
		v := store.SecretVersion{ID: berth.NewID(), OrganizationID: org, Name: "KEY", CreatedAt: time.Unix(1, 0),
			Ciphertext: seal(t, box, canary, berth.SecretContext(org, "KEY"))}
		if err := tx.InsertSecret(ctx, v); err != nil {
			return err
		}
		return tx.PutCredential(ctx, store.StoredCredential{Registry: "r", Username: "u", UpdatedAt: time.Unix(1, 0),
			Ciphertext: seal(t, box, canary, berth.RegistryContext("r"))})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(ctx, filepath.Join(dir, "copy.db")); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, secret.FileName))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("found %v (%v), want key, database, log, copy", files, err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(canary)) {
			t.Errorf("%s holds the value in clear", filepath.Base(name))
		}
		if filepath.Base(name) != secret.FileName && (bytes.Contains(content, key[20:60]) || bytes.Contains(content, box.SealKey())) {
			t.Errorf("%s holds the key", filepath.Base(name))
		}
	}
}
