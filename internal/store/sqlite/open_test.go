package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

// raw opens the file beside the store.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := driver.Open("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestADatabaseKeepsWhatItHoldsAcrossARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	ctx := t.Context()
	ids := map[string]bool{}
	for n := range 3 {
		s := mustOpen(t, path)
		err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
			id, err := tx.Installation(ctx)
			if err != nil {
				return err
			}
			ids[id] = true
			return order(ctx, tx, n)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	check(t, path, 3)
	if len(ids) != 1 {
		t.Errorf("the installation changed its id: %v", ids)
	}
}

func TestEveryColumnOfTheSeedIsThereInItsOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	open(t, path)
	for table, want := range map[string]string{
		"tenant_containers": "id organization_id tenant_name container_id container_name image_tag external_port internal_port tenant_url " +
			"cpu_limit memory_limit_mb disk_limit_mb status last_started_at last_stopped_at health_status last_health_check_at " +
			"environment_vars volume_mounts created_at updated_at created_by",
		"tenant_health": "id container_id checked_at status response_time_ms http_status_code error_message cpu_usage_percent " +
			"memory_usage_mb disk_usage_mb check_type check_endpoint created_at",
		"tenant_resource_usage": "id container_id recorded_at period_start period_end cpu_usage_percent_avg cpu_usage_percent_max " +
			"cpu_throttling_count memory_usage_mb_avg memory_usage_mb_max memory_limit_mb oom_kill_count network_rx_bytes network_tx_bytes " +
			"disk_usage_mb disk_io_read_mb disk_io_write_mb request_count error_count avg_response_time_ms created_at",
		"tenant_deployments": "id container_id deployment_type status previous_image_tag new_image_tag previous_config new_config started_at " +
			"completed_at error_message can_rollback rollback_deployment_id deployed_by deployment_notes created_at",
	} {
		rows, err := raw(t, path).Query("SELECT name FROM pragma_table_info(?)", table)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				t.Fatal(err)
			}
			got = append(got, name)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(strings.Join(got, " ")+" ", want+" ") {
			t.Errorf("%s has columns\n%v, want first\n%s", table, got, want)
		}
	}
}

// Seed fault 20: DECIMAL(5, 2) ends at 999.99 %, and INTEGER at 2 GB.
func TestColumnsHoldWhatTenCoresAndTerabytesUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	s := open(t, path)
	if err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error { return order(t.Context(), tx, 0) }); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	_, err := db.Exec(`INSERT INTO tenant_resource_usage (id, container_id, organization_id, recorded_at, period_start, period_end, created_at,
		cpu_usage_percent_avg, cpu_usage_percent_max, network_rx_bytes)
		SELECT 'u', id, organization_id, created_at, created_at, created_at, created_at, 999.99, 12800.25, 1099511627776001 FROM tenant_containers`)
	if err != nil {
		t.Fatal(err)
	}
	var avg, most float64
	var rx int64
	err = db.QueryRow("SELECT cpu_usage_percent_avg, cpu_usage_percent_max, network_rx_bytes FROM tenant_resource_usage").Scan(&avg, &most, &rx)
	if err != nil || avg != 999.99 || most != 12800.25 || rx != 1099511627776001 {
		t.Errorf("%v, %v, %v, %v", avg, most, rx, err)
	}
}

func TestTheDatabaseRefusesWhatNoProgramShouldWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	s := open(t, path)
	ctx := t.Context()
	if err := s.InTx(ctx, berth.System(), func(tx store.Tx) error { return order(ctx, tx, 0) }); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	for _, statement := range []string{
		"UPDATE tenant_containers SET status = 'asleep'",
		"UPDATE tenant_containers SET health_status = ''",
		"UPDATE tenant_containers SET external_port = 70000",
		"UPDATE tenant_containers SET environment_vars = '{'",
		"UPDATE tenant_containers SET image_tag = ''",
		"UPDATE tenant_containers SET generation = 'many'",
		"UPDATE tenant_containers SET image_pins = '{'",
		"UPDATE tenant_containers SET image_pins = NULL",
		"UPDATE tenant_containers SET released = -1",
		"INSERT INTO blueprints VALUES ('shop', 0, 'h', x'', 'x', NULL, 1)",
		"INSERT INTO blueprints VALUES ('', 1, 'h', x'', 'x', NULL, 1)",
		"INSERT INTO blueprints VALUES ('shop', 1, 'h', NULL, 'x', NULL, 1)",
		"INSERT INTO installation VALUES (2, 'x', 'x')",
	} {
		if _, err := db.Exec(statement); err == nil {
			t.Errorf("accepted: %s", statement)
		}
	}
}

func TestHistoryCantBeDeletedWithItsTenant(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	s := open(t, path)
	ctx := t.Context()
	n := newTenant(0)
	err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		if err := tx.InsertTenant(ctx, n); err != nil {
			return err
		}
		return tx.InsertDeployment(ctx, berth.Deployment{ID: berth.NewID(), TenantID: n.ID, OrganizationID: n.OrganizationID,
			Type: berth.DeployProvision, Status: berth.DeploymentPending, New: n.Spec, Want: n.Want, CreatedAt: n.CreatedAt})
	})
	if err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("PRAGMA foreign_keys = ON"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("DELETE FROM tenant_containers"); err == nil {
		t.Error("a tenant was deleted from under its history")
	}
}

func TestTheSeedsVolumeMountsFollowTheVolumes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	s := open(t, path)
	ctx := t.Context()
	n := newTenant(0)
	put := func(name string, deleted time.Time) error {
		return s.InTx(ctx, berth.System(), func(tx store.Tx) error {
			return tx.PutVolume(ctx, berth.VolumeRecord{OrganizationID: n.OrganizationID, Name: name, Mount: "/" + name,
				CreatedAt: n.CreatedAt, DeletedAt: deleted})
		})
	}
	steps := []struct {
		do   func() error
		want string
	}{
		{func() error {
			if err := put("kept", time.Time{}); err != nil { // from an earlier tenant
				return err
			}
			return s.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.InsertTenant(ctx, n) })
		}, `[{"volume":"kept","mount":"/kept"}]`},
		{func() error { return put("data", time.Time{}) }, `[{"volume":"data","mount":"/data"},{"volume":"kept","mount":"/kept"}]`},
		{func() error { return put("kept", n.CreatedAt) }, `[{"volume":"data","mount":"/data"}]`},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := raw(t, path).QueryRow("SELECT volume_mounts FROM tenant_containers").Scan(&got); err != nil || got != step.want {
			t.Errorf("volume_mounts is %s (%v), want %s", got, err, step.want)
		}
	}
}

func TestADatabaseOfANewerBerthIsRefusedAndLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	if err := mustOpen(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, path).Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)"); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "newer")
	var version int
	if err := raw(t, path).QueryRow("SELECT max(version_id) FROM goose_db_version").Scan(&version); err != nil || version != 99 {
		t.Errorf("the schema is version %d now (%v)", version, err)
	}
}

func TestADatabaseOfAnotherProgramIsRefusedAndLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	if _, err := raw(t, path).Exec("CREATE TABLE other (n)"); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "not Berth's")
	var tables int
	if err := raw(t, path).QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil || tables != 1 {
		t.Errorf("the file holds %d objects now (%v)", tables, err)
	}
}

func TestADamagedDatabaseIsRefusedWithTheWayBack(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "berth.db")
	s := mustOpen(t, whole)
	ctx := t.Context()
	for n := range 20 {
		if err := s.InTx(ctx, berth.System(), func(tx store.Tx) error { return order(ctx, tx, n) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	overwritten := bytes.Clone(content)
	for page := 1; page < len(content)/4096; page++ { // all but the first
		copy(overwritten[page*4096:], bytes.Repeat([]byte("garbage!"), 64))
	}
	for what, damage := range map[string][]byte{
		"not a database": bytes.Repeat([]byte("hello "), 1000),
		"cut off":        content[:len(content)/2],
		"overwritten":    overwritten,
	} {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "berth.db")
			if err := os.WriteFile(path, damage, 0o600); err != nil {
				t.Fatal(err)
			}
			e := refused(t, path, "damaged")
			if !strings.Contains(e.Hint, "backup") || !strings.Contains(e.Hint, "tenants keep running") {
				t.Errorf("the hint does not say how to restore: %s", e.Hint)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, damage) {
				t.Error("the damaged file was changed")
			}
		})
	}
}

func refused(t *testing.T, path, because string) *berth.Error {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err == nil {
		s.Close()
		t.Fatal("opened")
	}
	var e *berth.Error
	if !errors.As(err, &e) || e.Code != berth.CodeStorageUnavailable || e.Hint == "" || !strings.Contains(e.Error(), because) {
		t.Fatalf("got %v, want %s because it is %s, with a hint", err, berth.CodeStorageUnavailable, because)
	}
	return e
}

func TestOnlyTheOwnerReachesTheFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state dir #1?&%20")
	path := filepath.Join(dir, "berth.db")
	if err := mustOpen(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil { // as a restore might
		t.Fatal(err)
	}
	open(t, path)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("the directory holds %v (%v), want the file, its log and its index", entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v)", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v (%v)", info.Mode(), err)
	}
}

func TestAClosedStoreRefusesAndCloseWaitsForTransactions(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "berth.db"))
	ctx := t.Context()
	inside, closed := make(chan struct{}), make(chan error, 1)
	go func() {
		<-inside
		closed <- s.Close()
	}()
	err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		close(inside)
		select {
		case <-closed:
			return errors.New("closed under a transaction")
		default:
		}
		return order(ctx, tx, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	nothing := func(store.Tx) error { return nil }
	for _, err := range []error{s.InTx(ctx, berth.System(), nothing), s.View(ctx, berth.System(), nothing),
		s.Backup(ctx, filepath.Join(t.TempDir(), "copy"))} {
		if !berth.Is(err, berth.CodeShuttingDown) {
			t.Errorf("got %v, want %s", err, berth.CodeShuttingDown)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestManyViewsAtOnceAllGetTheirTurn(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "berth.db"))
	done := make(chan error)
	for range 40 {
		go func() {
			done <- s.View(t.Context(), berth.System(), func(tx store.Tx) error {
				_, err := tx.Installation(t.Context())
				return err
			})
		}()
	}
	for range 40 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestAWaitForTheWriterEndsWithItsContext(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "berth.db"))
	err := s.InTx(t.Context(), berth.System(), func(store.Tx) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.InTx(ctx, berth.System(), func(store.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that the context ended", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
