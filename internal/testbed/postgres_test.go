package testbed

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

func TestAPostgresCanBePausedKilledStartedAgainAndStopped(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx := t.Context()
	p, err := StartPostgres(ctx, "fsync=on")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(p.dir); !os.IsNotExist(err) || p.Running() {
			t.Errorf("after Stop the folder is there (%v) or it runs (%v)", err, p.Running())
		}
	}()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(p.CreateDatabase(ctx, "first", ""))
	must(p.Exec(ctx, "first", "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)"))
	must(p.CreateDatabase(ctx, "Sec'ond", "first"))
	c, err := pgx.Connect(ctx, p.URL("Sec'ond"))
	must(err)
	defer c.Close(context.WithoutCancel(ctx))
	var fsync string
	must(c.QueryRow(ctx, "SHOW fsync").Scan(&fsync))
	if fsync != "on" {
		t.Errorf("fsync is %s: a setting did not go over its own", fsync)
	}

	must(p.Pause())
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if late, err := pgx.Connect(short, p.URL("first")); err == nil {
		_ = late.Close(ctx)
		t.Error("a server that is paused answers")
	}
	must(p.Resume())
	var n int
	must(c.QueryRow(ctx, "SELECT n FROM kept").Scan(&n))

	must(p.Kill())
	if p.Running() || c.Ping(ctx) == nil {
		t.Error("a server that was killed answers")
	}
	must(p.Start(ctx))
	again, err := pgx.Connect(ctx, p.URL("first"))
	must(err)
	defer again.Close(context.WithoutCancel(ctx))
	must(again.QueryRow(ctx, "SELECT n FROM kept").Scan(&n))

	// Stop has to end one that is paused, too.
	must(p.Pause())
}

func TestWithoutPostgreSQLTheScriptThatInstallsItIsNamed(t *testing.T) {
	_, err := postgresBinaries(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "scripts/postgres.sh") {
		t.Errorf("got %v", err)
	}
}
