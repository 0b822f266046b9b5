package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

// before00003 makes a file as Berth left it when its schema was version 2,
// with a tenant and a deployment in it.
func before00003(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "berth.db")
	db := raw(t, path)
	db.SetMaxOpenConns(1)
	for _, name := range []string{"00001_tenant_infrastructure.sql", "00002_control_plane.sql"} {
		data, err := os.ReadFile(filepath.Join("migrations", name))
		if err != nil {
			t.Fatal(err)
		}
		_, up, ok := strings.Cut(string(data), "-- +goose Up\n")
		if !ok {
			t.Fatalf("%s has no first line", name)
		}
		do(t, db, up)
	}
	do(t, db, `PRAGMA application_id = 1114797160;
		CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL,
			tstamp TIMESTAMP DEFAULT (datetime('now')));
		INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1), (2, 1);
		INSERT INTO installation VALUES (1, 'installation-1', '2026-01-02T03:04:05.000006Z');
		INSERT INTO tenant_containers (id, organization_id, tenant_name, container_name, image_tag, tenant_url, cpu_limit, memory_limit_mb,
			disk_limit_mb, status, health_status, environment_vars, volume_mounts, created_at, updated_at, slug, search_text, want, generation,
			blueprint, replicas, revision, seq)
		VALUES ('t', '`+orgID(0)+`', 'Old', 'tenant_x', 'v1', 'u', 0.5, 512, 2048, 'running', 'healthy', '{"A":"s"}', '[]',
			'2026-01-02T03:04:05.000006Z', '2026-01-02T03:04:05.000006Z', 'old', 'old', 'running', 4, 'builtin@1', 1, 7, 1);
		INSERT INTO tenant_deployments (id, container_id, organization_id, deployment_type, status, new_image_tag, new_config, can_rollback,
			created_at, generation, want, seq)
		VALUES ('d', 't', '`+orgID(0)+`', 'update', 'completed', 'v1', '{"imageTag":"v1","blueprint":"builtin@1","cpuLimit":0.5,
			"memoryLimitMb":512,"diskLimitMb":2048,"replicas":1,"internalPort":3000,"environment":{"A":"s"}}', 1,
			'2026-01-02T03:04:05.000006Z', 4, 'running', 1);`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func do(t *testing.T, db *sql.DB, script string) {
	t.Helper()
	if _, err := db.Exec(script); err != nil {
		t.Fatal(err)
	}
}

func TestADatabaseFromBeforeBlueprintsIsBroughtUpToDateWithAllItHolds(t *testing.T) {
	path := before00003(t)
	ctx := t.Context()
	for range 2 { // the second start finds it done
		s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		err = s.InTx(ctx, berth.System(), func(tx store.Tx) error {
			id, err := tx.Installation(ctx)
			if err != nil || id != "installation-1" {
				t.Errorf("installation %s, %v", id, err)
			}
			got, err := tx.Tenant(ctx, "old")
			if err != nil {
				return err
			}
			want := berth.Spec{ImageTag: "v1", Blueprint: "builtin@1", Limits: berth.Limits{CPU: 0.5, MemoryMB: 512, DiskMB: 2048}, Replicas: 1,
				Environment: map[string]string{"A": "s"}}
			if d := cmp.Diff(want, got.Spec, cmpopts.EquateEmpty()); d != "" || got.Released != 0 || got.Generation != 4 {
				t.Errorf("generation %d, released %d, spec (-want +got):\n%s", got.Generation, got.Released, d)
			}
			d, err := tx.Deployment(ctx, "d")
			if err != nil {
				return err
			}
			want.InternalPort = 3000
			if diff := cmp.Diff(want, d.New, cmpopts.EquateEmpty()); diff != "" || d.Adopt {
				t.Errorf("adopt %v, spec (-want +got):\n%s", d.Adopt, diff)
			}
			list, _, err := tx.ListBlueprints(ctx, store.Page{})
			if err != nil || len(list) != 0 {
				t.Errorf("blueprints %v, %v", list, err)
			}
			return tx.UpdateTenant(ctx, &got)
		})
		if err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
