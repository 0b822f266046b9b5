package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// In SQLite before 3.45, such as Debian 12's, json_valid(NULL) is 0, and its
// integrity check called every deployment damaged that had no spec before it.
func TestAnOlderSQLiteFindsAGoodBackupWhole(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "berth.db"))
	err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		n := newTenant(1)
		if err := tx.InsertTenant(t.Context(), n); err != nil {
			return err
		}
		return tx.InsertDeployment(t.Context(), berth.Deployment{ID: berth.NewID(), TenantID: n.ID, OrganizationID: n.OrganizationID,
			Type: berth.DeployProvision, Status: berth.DeploymentPending, New: n.Spec, Want: berth.WantRunning, CreatedAt: n.CreatedAt})
	})
	if err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup.db")
	if err := s.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	db, err := driver.Open("file:"+filepath.ToSlash(backup), func(c *sqlite3.Conn) error {
		return c.CreateFunction("json_valid", 1, sqlite3.DETERMINISTIC|sqlite3.INNOCUOUS, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
			ctx.ResultBool(arg[0].Type() != sqlite3.NULL)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("%s, %v", verdict, err)
	}
}
