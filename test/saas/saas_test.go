package saas_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

type counts struct{ MigrationRuns, DatabaseStarts, LockRefusals int }

type notes struct {
	Notes []struct{ Body string }
	Total int
}

// whole starts a tenant of release 1 with a database, a schema and a web.
func whole(t *testing.T) (tn *tenant, db string) {
	tn = newTenant(t)
	db = tn.start(tn.database())
	tn.healthy(db)
	if code, said := tn.migrate(appOne); code != 0 {
		t.Fatalf("migrate ended with %d: %s", code, said)
	}
	tn.serve(appOne)
	return tn, db
}

func (t *tenant) wantCounts(want counts) {
	t.Helper()
	var got counts
	t.get("/stats", &got)
	if got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
}

func (t *tenant) wantNotes(want ...string) {
	t.Helper()
	var got notes
	t.get("/notes", &got)
	var bodies []string
	for _, n := range got.Notes {
		bodies = append(bodies, n.Body)
	}
	if strings.Join(bodies, "|") != strings.Join(want, "|") || got.Total != len(want) {
		t.Errorf("notes are %q, %d in all; want %q", bodies, got.Total, want)
	}
}

func TestNotesAndFilesSurviveThatEveryContainerIsMadeAnew(t *testing.T) {
	tn, db := whole(t)
	tn.wantCounts(counts{MigrationRuns: 1, DatabaseStarts: 1})
	tn.post("/notes", "Größe\nis 5 <b>")
	tn.post("/files/a.txt", "content")

	tn.drop(tn.name + "-web")
	if code, took := tn.stop(db); code != 0 || took > 10*time.Second {
		t.Errorf("the database ended with %d after %s, want a fast shutdown", code, took)
	}
	tn.drop(db)
	tn.healthy(tn.start(tn.database()))
	if code, said := tn.migrate(appTwo); code != 0 || !strings.Contains(said, "from=2 to=3") {
		t.Fatalf("migrate of release 2 ended with %d: %s", code, said)
	}
	tn.serve(appTwo)
	tn.wantNotes("Größe\nis 5 <b>")
	if status, body := tn.ask(http.MethodGet, "/files/a.txt", ""); status != http.StatusOK || body != "content" {
		t.Errorf("the file is %d %q", status, body)
	}
	tn.wantCounts(counts{MigrationRuns: 2, DatabaseStarts: 2})

	// Back to release 1, on the newer schema.
	tn.drop(tn.name + "-web")
	if code, said := tn.migrate(appOne); code != 0 || !strings.Contains(said, "from=3 to=3") {
		t.Fatalf("migrate of release 1 ended with %d: %s", code, said)
	}
	tn.serve(appOne)
	tn.wantCounts(counts{MigrationRuns: 3, DatabaseStarts: 2})
}

func TestASecondDatabaseOnTheSameVolumeRefusesAndTheFirstGoesOn(t *testing.T) {
	tn, db := whole(t)
	tn.post("/notes", "before")
	for i := 1; i <= 2; i++ {
		second := tn.database()
		second.name = "db-second"
		name := tn.start(second)
		if code := tn.End(name); code != 75 {
			t.Errorf("the second database ended with %d, want 75", code)
		}
		if said := tn.logs(name); !strings.Contains(said, "another database server uses "+dataDir) {
			t.Errorf("the second database does not say why: %s", said)
		}
		tn.drop(name)
		tn.wantCounts(counts{MigrationRuns: 1, DatabaseStarts: 1, LockRefusals: i})
	}
	tn.post("/notes", "after")
	tn.wantNotes("after", "before")

	// However the first ends, the volume is free then.
	tn.kill(db)
	third := tn.database()
	third.name = "db-third"
	name := tn.start(third)
	tn.healthy(name)
	tn.drop(name)
	tn.startAgain(db)
	tn.healthy(db)
	tn.well()
	tn.wantNotes("after", "before")
	tn.wantCounts(counts{MigrationRuns: 1, DatabaseStarts: 3, LockRefusals: 2})
}

func TestWhatWasAnsweredSurvivesThatTheDatabaseIsKilled(t *testing.T) {
	tn, db := whole(t)
	want := []string{}
	for kill := range 3 {
		for i := range 20 {
			note := fmt.Sprintf("note %d of round %d", i, kill)
			tn.post("/notes", note)
			want = append([]string{note}, want...)
		}
		tn.kill(db)
		if status, body := tn.ask(http.MethodGet, "/api/health", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, `"failing":"database"`) {
			t.Errorf("without a database, health is %d %s", status, body)
		}
		tn.startAgain(db)
		tn.healthy(db)
		tn.well()
		tn.wantNotes(want...)
	}
	tn.wantCounts(counts{MigrationRuns: 1, DatabaseStarts: 4})
}

func TestADatabaseKilledDuringItsFirstStartBeginsAnew(t *testing.T) {
	tn := newTenant(t)
	// Half a cluster, for the case that the kill below comes too late.
	half := tn.database()
	half.name, half.entrypoint = "half", []string{"sh", "-c", "mkdir " + dataDir + "/15.new && echo 15 >" + dataDir + "/15.new/PG_VERSION"}
	name := tn.start(half)
	if code := tn.End(name); code != 0 {
		t.Fatalf("making half a cluster ended with %d: %s", code, tn.logs(name))
	}
	db := tn.start(tn.database())
	tn.Eventually(deadline, "initdb has begun", func() bool {
		code, _ := tn.command(db, "test", "-e", dataDir+"/15.new")
		return code == 0
	})
	tn.kill(db)
	tn.startAgain(db)
	tn.healthy(db)
	if code, said := tn.migrate(appOne); code != 0 {
		t.Errorf("migrate ended with %d: %s", code, said)
	}
	if code, out := tn.command(db, "ls", "-A", dataDir); code != 0 || strings.Contains(out, "15.new") {
		t.Errorf("the volume holds %q", out)
	}
}

func TestAChangedPasswordIsInForceAfterARestart(t *testing.T) {
	tn, db := whole(t)
	tn.post("/notes", "kept")
	const changed = "DATABASE_PASSWORD=another '' $pass; DROP"
	tn.drop(db)
	db = tn.start(tn.database(changed))
	tn.healthy(db)
	if code, said := tn.migrate(appOne); code != 3 || !strings.Contains(said, "password authentication failed") || strings.Contains(said, password) {
		t.Errorf("with the old password, migrate ended with %d: %s", code, said)
	}
	if code, said := tn.migrate(appOne, changed); code != 0 {
		t.Errorf("with the new password, migrate ended with %d: %s", code, said)
	}
	for _, secret := range []string{password, "another ''"} {
		if said := tn.logs(db); strings.Contains(said, secret) {
			t.Errorf("the database's log holds a password: %s", said)
		}
	}
	if code, _ := tn.command(db, "sh", "-c", "tr '\\0' '\\n' </proc/$(head -1 "+dataDir+"/15/postmaster.pid)/environ | grep DATABASE_PASSWORD"); code == 0 {
		t.Error("the server keeps the password in its environment")
	}
	if code, out := tn.command(db, "psql", "-h", "127.0.0.1", "-U", "postgres", "-w", "-c", "SELECT 1"); code == 0 {
		t.Errorf("the superuser got in over the network: %s", out)
	}
}

func TestAMigrationThatFailsChangesNothing(t *testing.T) {
	tn := newTenant(t)
	tn.healthy(tn.start(tn.database()))
	if code, said := tn.migrate(appOne, "MIGRATE_FAIL=1"); code != 3 || !strings.Contains(said, "on purpose") {
		t.Errorf("migrate ended with %d: %s", code, said)
	}
	web := tn.start(tn.app(appOne, "web"))
	tn.Eventually(deadline, "the web names the schema", func() bool {
		status, body := tn.ask(http.MethodGet, "/api/health", "")
		return status == http.StatusServiceUnavailable && strings.Contains(body, `"failing":"schema"`)
	})
	// Two at once take turns, and the second finds nothing to do.
	first := tn.start(tn.app(appOne, "migrate"))
	twin := tn.app(appOne, "migrate")
	twin.name = "migrate-twin"
	second := tn.start(twin)
	if one, two := tn.End(first), tn.End(second); one != 0 || two != 0 {
		t.Fatalf("two migrations at once ended with %d and %d", one, two)
	}
	tn.drop(first)
	tn.drop(second)
	tn.well()
	tn.wantCounts(counts{MigrationRuns: 2, DatabaseStarts: 1})
	// A release is unwell on a schema that is older than its own.
	tn.drop(web)
	tn.start(tn.app(appTwo, "web"))
	tn.Eventually(deadline, "release 2 waits for its schema", func() bool {
		status, body := tn.ask(http.MethodGet, "/api/health", "")
		return status == http.StatusServiceUnavailable && strings.Contains(body, `"failing":"schema"`)
	})
	if code, said := tn.migrate(appTwo); code != 0 {
		t.Fatalf("migrate of release 2 ended with %d: %s", code, said)
	}
	tn.well()
	if code, out := tn.command(tn.name+"-web", "/saas", "healthcheck", "http://127.0.0.1:3000/api/health"); code != 0 {
		t.Errorf("the health command ended with %d: %s", code, out)
	}
	if code, _ := tn.command(tn.name+"-web", "/saas", "healthcheck", "http://127.0.0.1:3000/nothing"); code != 1 {
		t.Errorf("the health command ended with %d on a 404, want 1", code)
	}
}

func TestEachJobIsDoneOnceWhateverEndsTheWorkers(t *testing.T) {
	tn, _ := whole(t)
	var workers []string
	for i := range 2 {
		w := tn.app(appOne, "worker")
		w.name = fmt.Sprintf("worker-%d", i+1)
		workers = append(workers, tn.start(w))
	}
	const n = 60
	tn.post("/jobs", fmt.Sprintf(`{"n": %d, "millis": 40}`, n))
	var got struct{ Pending, Done, Runs int }
	done := func(least int) {
		t.Helper()
		tn.Eventually(deadline, fmt.Sprintf("%d jobs are done", least), func() bool {
			tn.get("/jobs", &got)
			return got.Done >= least
		})
	}
	for round := range 4 {
		done(8 * (round + 1))
		w := workers[round%2]
		if round < 2 {
			if code, took := tn.stop(w); code != 0 || took > 2*time.Second {
				t.Errorf("a worker ended with %d after %s, want 0 within a second", code, took)
			}
		} else {
			tn.kill(w)
		}
		tn.startAgain(w)
	}
	done(n)
	if got.Pending != 0 || got.Done != n || got.Runs != n {
		t.Errorf("jobs are %+v, want %d done, each once", got, n)
	}
	if status, body := tn.ask(http.MethodGet, "/files/last-job.txt", ""); status != http.StatusOK || body == "" {
		t.Errorf("the workers' file, seen by the web, is %d %q", status, body)
	}

	// A long job in hand goes back at once, and another worker does it.
	tn.post("/jobs", `{"n": 1, "millis": 10000}`) // longer than a crowded machine takes to look
	tn.stop(workers[1])
	tn.Eventually(deadline, "a worker has the job in hand", func() bool {
		code, out := tn.command(tn.name+"-db", "psql", "-U", "postgres", "-d", "app", "-Atc",
			"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'saas worker' AND state = 'idle in transaction'")
		return code == 0 && strings.TrimSpace(out) == "1"
	})
	if code, took := tn.stop(workers[0]); code != 0 || took > 2*time.Second {
		t.Errorf("with a job in hand, a worker ended with %d after %s", code, took)
	}
	if tn.get("/jobs", &got); got.Pending != 1 {
		t.Errorf("jobs are %+v, want the one in hand pending again", got)
	}
	tn.startAgain(workers[1])
	done(n + 1)
	if got.Runs != n+1 {
		t.Errorf("jobs are %+v, want each done once", got)
	}
}

func TestTheDatabaseSaysWhatIsWrongWithItsEnvironment(t *testing.T) {
	tn := newTenant(t)
	for env, want := range map[string]string{
		"DATABASE_PASSWORD=":            "DATABASE_PASSWORD is required",
		"DATABASE_PASSWORD=two\nlines":  "control character",
		"DATABASE_USER=app; DROP":       "DATABASE_USER",
		"DATABASE_USER=postgres":        "DATABASE_USER",
		"DATABASE_NAME=a-b":             "DATABASE_NAME",
		"DATABASE_NAME=template1":       "DATABASE_NAME",
		"DATABASE_NAME=" + longName(64): "longer than 63",
	} {
		name := tn.start(tn.database(env))
		if code, said := tn.End(name), tn.logs(name); code != 64 || !strings.Contains(said, want) {
			t.Errorf("with %q, the database ended with %d: %s", env, code, said)
		}
		tn.drop(name)
	}
	stranger := tn.database()
	stranger.user = "65532:65532"
	name := tn.start(stranger)
	if code, said := tn.End(name), tn.logs(name); code != 77 || !strings.Contains(said, "can't be written by user 65532") {
		t.Errorf("as another user, the database ended with %d: %s", code, said)
	}
	tn.drop(name)
	tn.healthy(tn.start(tn.database())) // none of them left anything behind
}

func longName(n int) string { return strings.Repeat("a", n) }
