package postgres_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// seed stores something of nearly everything.
func seed(t testing.TB, s store.Store) {
	t.Helper()
	ctx := t.Context()
	n := newTenant(1)
	n.Name = "tab\there, back\\slash, \\. and Straße 🚢"
	user := berth.User{ID: berth.NewID(), Email: "Ada@example.com", Name: "Ada", CreatedAt: noon}
	d := berth.Deployment{ID: berth.NewID(), TenantID: n.ID, OrganizationID: n.OrganizationID, Type: berth.DeployUpdate, Status: berth.DeploymentCompleted,
		New: n.Spec, Want: berth.WantRunning, By: "t", CreatedAt: noon, Notes: "first\nsecond\r\\."}
	back := d
	back.ID, back.RollbackOf = berth.NewID(), d.ID
	err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		for _, err := range []error{
			tx.InsertTenant(ctx, n),
			tx.InsertDeployment(ctx, d),
			tx.InsertDeployment(ctx, back),
			tx.InsertSecret(ctx, store.SecretVersion{ID: "s", OrganizationID: n.OrganizationID, Name: "K", Ciphertext: []byte{0, 10, 255}, CreatedAt: noon}),
			tx.PutVolume(ctx, berth.VolumeRecord{OrganizationID: n.OrganizationID, Name: "v", Mount: "/data", CreatedAt: noon}),
			tx.InsertEvent(ctx, berth.Event{ID: berth.NewID(), OrganizationID: n.OrganizationID, At: noon, Kind: "oom", Message: "m"}),
			tx.RecordProbes(ctx, []berth.Probe{{OrganizationID: n.OrganizationID, CheckedAt: noon, Status: berth.ProbeHealthy, CPUPercent: berth.Known(12.5)}}),
			tx.PutUser(ctx, user),
			tx.PutMembership(ctx, berth.Membership{UserID: user.ID, OrganizationID: n.OrganizationID, Role: berth.RoleAdmin, CreatedAt: noon}),
			tx.AppendAudit(ctx, &berth.AuditEntry{ID: "a", OrganizationID: n.OrganizationID, At: noon, Action: "tenant.deploy", Outcome: berth.AuditDone}),
			tx.AppendAudit(ctx, &berth.AuditEntry{ID: "b", OrganizationID: n.OrganizationID, At: noon, Action: "tenant.deploy", Outcome: berth.AuditDenied}),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// content is what a store holds, as far as the tests look.
func content(t testing.TB, s store.Store) (all []any) {
	t.Helper()
	ctx := t.Context()
	err := s.View(ctx, berth.System(), func(tx store.Tx) error {
		n, err1 := tx.Tenant(ctx, orgID(1))
		id, err2 := tx.Installation(ctx)
		history, _, err3 := tx.ListDeployments(ctx, orgID(1), store.Page{})
		secrets, err4 := tx.Secrets(ctx, orgID(1), []string{"s"})
		events, err5 := tx.EventsAfter(ctx, 0, 0)
		probes, _, err6 := tx.ListProbes(ctx, orgID(1), store.Page{})
		users, _, err7 := tx.ListUsers(ctx, store.Page{})
		audit, _, err8 := tx.ListAudit(ctx, store.AuditFilter{OrganizationID: orgID(1), Ascending: true})
		all = []any{n, id, history, secrets, events, probes, users, audit}
		for i := range audit {
			var prev *berth.AuditEntry
			if i > 0 {
				prev = &audit[i-1]
			}
			if !audit[i].Follows(prev) {
				t.Errorf("entry %d does not follow", i)
			}
		}
		return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestABackupIsRestoredWholeAndWorkGoesOn(t *testing.T) {
	t.Parallel()
	s := open(t, login(lent(t)))
	seed(t, s)
	file := filepath.Join(t.TempDir(), "copy")
	if err := s.Backup(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	restored := open(t, login(lent(t)))
	if err := restored.Restore(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	if got, want := content(t, restored), content(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if err := restored.Restore(t.Context(), file); !berth.Is(err, berth.CodeInvalidRequest) { // it is in use
		t.Errorf("restored over what is there: %v", err)
	}
	err := restored.InTx(t.Context(), berth.System(), func(tx store.Tx) error { // numbers go on
		for range 3 {
			if err := tx.InsertEvent(t.Context(), berth.Event{ID: berth.NewID(), OrganizationID: orgID(1), At: noon, Kind: "oom", Message: "m"}); err != nil {
				return err
			}
		}
		e := berth.AuditEntry{ID: "c", OrganizationID: orgID(1), At: noon, Action: "x", Outcome: berth.AuditDone}
		if err := tx.AppendAudit(t.Context(), &e); err != nil || e.Seq != 3 {
			t.Errorf("entry %d, %v", e.Seq, err)
		}
		return tx.InsertTenant(t.Context(), newTenant(2))
	})
	if err != nil {
		t.Error(err)
	}
}

func TestABackupWhileOthersWriteIsOneMoment(t *testing.T) {
	t.Parallel()
	s := open(t, login(lent(t)))
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	written := make(chan int, 10000)
	wg.Go(func() { // each transaction adds a tenant and notes how many there are in the first
		for n := 0; n < cap(written); n++ {
			err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
				if err := tx.InsertTenant(ctx, newTenant(n)); err != nil {
					return err
				}
				first, err := tx.Tenant(ctx, orgID(0))
				if err != nil {
					return err
				}
				first.Generation = n + 1
				return tx.UpdateTenant(ctx, &first)
			})
			if errors.Is(err, context.Canceled) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			written <- n
		}
	})
	for range 20 {
		<-written
	}
	file := filepath.Join(t.TempDir(), "copy")
	if err := s.Backup(t.Context(), file); err != nil {
		t.Error(err)
	}
	stop()
	wg.Wait()
	restored := open(t, login(lent(t)))
	if err := restored.Restore(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	list := ports(t, restored)
	err := restored.View(t.Context(), berth.System(), func(tx store.Tx) error {
		first, err := tx.Tenant(t.Context(), orgID(0))
		if first.Generation != len(list) || len(list) < 20 {
			t.Errorf("%d tenants, but generation %d", len(list), first.Generation)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestADamagedBackupIsRefusedAndNothingOfItIsThere(t *testing.T) {
	t.Parallel()
	s := open(t, login(lent(t)))
	seed(t, s)
	file := filepath.Join(t.TempDir(), "copy")
	if err := s.Backup(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	packed := func(text string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, text)
		_ = w.Close()
		return b.Bytes()
	}
	target := open(t, login(lent(t)))
	for name, damage := range map[string][]byte{
		"no backup":       []byte("hello"),
		"empty":           nil,
		"cut off":         whole[:len(whole)/2],
		"without its end": packed(string(text[:len(text)*2/3])),
		"changed":         packed(strings.Replace(string(text), "Straße", "Strasse", 1)),
		"a row too many":  packed(strings.Replace(string(text), endOf("berth.events"), "x\\N\n"+endOf("berth.events"), 1)),
		"a newer schema":  packed(strings.Replace(string(text), `"schema":`, `"schema":9`, 1)),
		"another format":  packed(strings.Replace(string(text), `"formatVersion":1`, `"formatVersion":2`, 1)),
		"something after": packed(string(text) + "x"),
	} {
		path := filepath.Join(t.TempDir(), "damaged")
		if err := os.WriteFile(path, damage, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := target.Restore(t.Context(), path); err == nil {
			t.Errorf("%s: restored", name)
		}
		if got := ports(t, target); len(got) != 0 {
			t.Fatalf("%s: ports %v", name, got)
		}
	}
	if err := target.Restore(t.Context(), filepath.Join(t.TempDir(), "nowhere")); !berth.Is(err, berth.CodeInvalidRequest) {
		t.Errorf("got %v", err)
	}
	if err := target.Restore(t.Context(), file); err != nil { // the good one
		t.Error(err)
	}
}

// endOf is the beginning of a table in a backup: where one ends another begins.
func endOf(table string) string { return fmt.Sprintf(`{"table":"%s"`, table) }

func TestAFailedBackupLeavesNoFileAndReplacesNone(t *testing.T) {
	t.Parallel()
	s := open(t, login(lent(t)))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if err := s.Backup(ended, filepath.Join(dir, "copy")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context ended", err)
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "nowhere", "copy")); !berth.Is(err, berth.CodeStorageUnavailable) {
		t.Errorf("got %v, want %s", err, berth.CodeStorageUnavailable)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left %v (%v)", entries, err)
	}
	path := filepath.Join(dir, "precious")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), path); !berth.Is(err, berth.CodeInvalidRequest) {
		t.Errorf("got %v, want %s", err, berth.CodeInvalidRequest)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "precious" {
		t.Errorf("the file holds %q now (%v)", got, err)
	}
}
