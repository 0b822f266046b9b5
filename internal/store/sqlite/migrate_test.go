package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

// half returns one direction of a migration.
func half(t *testing.T, name, direction string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("migrations", name))
	if err != nil {
		t.Fatal(err)
	}
	up, down, _ := strings.Cut(string(data), "-- +goose Down\n")
	if direction == "down" {
		return down
	}
	return up
}

// before makes a file as Berth left it before it knew a version of its schema.
func before(t *testing.T, version int) (path string, db *sql.DB) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "berth.db")
	db = raw(t, path)
	db.SetMaxOpenConns(1)
	do(t, db, `PRAGMA application_id = 1114797160;
		CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL,
			tstamp TIMESTAMP DEFAULT (datetime('now')));
		INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1);`)
	files, err := os.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files { // by name
		n, err := strconv.Atoi(file.Name()[:5])
		if err != nil {
			t.Fatal(err)
		}
		if n >= version {
			break
		}
		do(t, db, half(t, file.Name(), "up"))
		if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (?, 1)", n); err != nil {
			t.Fatal(err)
		}
	}
	return path, db
}

// before00003 makes a file as Berth left it when its schema was version 2,
// with a tenant and a deployment in it.
func before00003(t *testing.T) (path string) {
	t.Helper()
	path, db := before(t, 3)
	do(t, db, `
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

// before00011 makes a file as Berth left it when it knew no organizations: with
// one that was deprovisioned and came back, one that is gone, and a token.
func before00011(t *testing.T) (path string) {
	t.Helper()
	path, db := before(t, 11)
	insert := `INSERT INTO tenant_containers (id, organization_id, tenant_name, container_name, image_tag, tenant_url, cpu_limit, memory_limit_mb,
		disk_limit_mb, status, health_status, environment_vars, volume_mounts, created_at, updated_at, slug, search_text, want, generation,
		blueprint, replicas, revision, seq, deprovisioned_at)
		SELECT ?, ?, ?, ?, 'v1', 'u', 0.5, 512, 2048, 'running', 'healthy', '{}', '[]', ?, ?, ?, 'x', 'running', 4, 'builtin@1', 1, 7, ?, ?`
	early, late := "2026-01-02T03:04:05.000006Z", "2026-02-02T03:04:05.000006Z"
	for i, c := range []struct {
		organization int
		name         string
		created      string
		gone         any
	}{{0, "First life", early, late}, {0, "Second life", late, nil}, {1, "Gone", late, late}, {2, "Only", early, nil}} {
		if _, err := db.Exec(insert, berth.NewID(), orgID(c.organization), c.name, "tenant_"+c.name, c.created, c.created, c.name, i+1, c.gone); err != nil {
			t.Fatal(err)
		}
	}
	do(t, db, `INSERT INTO tokens (id, name, prefix, hash, role, created_at, seq) VALUES ('k', 'ops', 'p', x'07', 'operator', '`+early+`', 1)`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestADatabaseFromBeforeOrganizationsGetsThoseOfItsTenants(t *testing.T) {
	path := before00011(t)
	early := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	late := early.AddDate(0, 1, 0)
	ctx := t.Context()
	for range 2 { // the second start finds it done
		s := open(t, path)
		err := s.View(ctx, berth.System(), func(tx store.Tx) error {
			list, _, err := tx.ListOrganizations(ctx, store.Page{})
			want := []berth.Organization{
				{ID: orgID(0), Name: "Second life", CreatedAt: early}, {ID: orgID(1), Name: "Gone", CreatedAt: late}, {ID: orgID(2), Name: "Only", CreatedAt: early},
			}
			if d := cmp.Diff(want, list); d != "" || err != nil {
				t.Errorf("organizations: %v (-want +got):\n%s", err, d)
			}
			k, ok, err := tx.TokenByHash(ctx, []byte{7})
			if d := cmp.Diff(berth.Token{ID: "k", Name: "ops", Prefix: "p", Hash: []byte{7}, Role: berth.RoleOperator, CreatedAt: early}, k); d != "" || !ok {
				t.Errorf("token (-want +got):\n%s", d)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheWayDownFromPeopleLeavesNoTokenThatMayMoreThanItDid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	ctx := t.Context()
	s := open(t, path)
	err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		if err := tx.InsertTenant(ctx, newTenant(0)); err != nil {
			return err
		}
		for i, k := range []berth.Token{
			{ID: "ops", Role: berth.RoleOperator},
			{ID: "narrow", Role: berth.RoleOperator, Scopes: berth.ScopeRead},
			{ID: "bound", Role: berth.RoleOperator, OrganizationID: orgID(0)},
			{ID: "deployer", Role: berth.RoleDeployer},
		} {
			k.Hash, k.CreatedAt = []byte{byte(i)}, time.Now()
			if err := tx.InsertToken(ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	db.SetMaxOpenConns(1)
	do(t, db, "PRAGMA foreign_keys = ON")
	do(t, db, half(t, "00011_people.sql", "down"))
	var left string
	if err := db.QueryRow("SELECT group_concat(id) FROM tokens").Scan(&left); err != nil || left != "ops" {
		t.Errorf("tokens %s are left, %v", left, err)
	}
	var tables int
	if err := db.QueryRow(`SELECT count(*) FROM sqlite_schema WHERE name IN ('organizations', 'users', 'identities', 'memberships', 'sessions',
		'invitations')`).Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables are left, %v", tables, err)
	}
}

// Goose looks for the ends of statements line by line, and takes a buffer of
// 4 MB for each line: half a gigabyte for a new database.
func TestEveryMigrationIsGivenToSQLiteWhole(t *testing.T) {
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, script, _ := strings.Cut(string(data), "-- +goose Up\n")
		for part := range strings.SplitSeq(script, "\n-- +goose Down\n") {
			if !strings.HasPrefix(part, "-- +goose StatementBegin\n") || !strings.HasSuffix(part, "\n-- +goose StatementEnd\n") ||
				strings.Count(part, "-- +goose ") != 2 {
				t.Errorf("%s: a direction is not one StatementBegin and StatementEnd", file)
			}
		}
	}
}
