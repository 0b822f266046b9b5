package sqlite_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// A URL that was stored in clear is sealed, and a channel may be deleted: what
// was there must not be left where the database does not look any more.
func TestWhatIsSealedOrDeletedIsNotLeftInTheFile(t *testing.T) {
	for name, end := range map[string]func(store.Tx, store.StoredChannel) error{
		"sealed": func(tx store.Tx, c store.StoredChannel) error {
			c.Target, c.Ciphertext = "https://hooks.example.org/…", []byte("sealed")
			return tx.ResealChannel(t.Context(), c)
		},
		"deleted": func(tx store.Tx, c store.StoredChannel) error { return tx.DeleteChannel(t.Context(), c.ID) },
	} {
		for size, secret := range map[string]string{"short": "s3cr3t-part", "over many pages": strings.Repeat("s3cr3t-part", 2000)} {
			t.Run(name+", "+size, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "berth.db")
				s := open(t, path)
				c := store.StoredChannel{Channel: berth.Channel{ID: berth.NewID(), Type: berth.ChannelWebhook, Target: "https://hooks.example.org/" + secret,
					Enabled: true, CreatedAt: time.Now()}}
				write := func(fn func(store.Tx) error) {
					t.Helper()
					if err := s.InTx(t.Context(), berth.System(), fn); err != nil {
						t.Fatal(err)
					}
				}
				write(func(tx store.Tx) error { return tx.InsertChannel(t.Context(), c) })
				if err := s.Exec(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
					t.Fatal(err)
				}
				if !left(t, path) {
					t.Fatal("it was not in the file to begin with")
				}
				write(func(tx store.Tx) error { return end(tx, c) })
				if err := s.Exec(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
					t.Fatal(err)
				}
				if left(t, path) {
					t.Error("it is still there")
				}
			})
		}
	}
}

func left(t *testing.T, path string) bool {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(raw, []byte("s3cr3t-part"))
}
