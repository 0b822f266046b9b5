package postgres_test

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth/internal/store/postgres"
	"github.com/unite-hub/berth/internal/testbed"
)

// server is the cluster of this package's tests.
var server *testbed.Postgres

func TestMain(m *testing.M) {
	var err error
	if server, err = testbed.StartPostgres(context.Background()); err != nil {
		log.Fatal(err)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		if err := server.Stop(); err != nil {
			log.Fatal(err)
		}
		os.Exit(code)
	}))
}

const password = "s3cret-of-the-test"

// login is the URL of a database as Berth logs in: it owns the schema, and is
// no superuser. The server asks for no password; what is in the URL must show
// nowhere all the same.
func login(database string) string {
	u, err := url.Parse(server.URLAs("owner", database))
	if err != nil {
		panic(err)
	}
	u.User = url.UserPassword("owner", password)
	return u.String()
}

var databases atomic.Int64

// template is a database with the schema, made once.
var template = sync.OnceValue(func() error {
	ctx := context.Background()
	for _, statement := range []string{`CREATE ROLE owner LOGIN CREATEROLE`, `CREATE DATABASE laid OWNER owner`} {
		if err := server.Exec(ctx, "postgres", statement); err != nil {
			return err
		}
	}
	s, err := postgres.Open(ctx, postgres.Options{URL: login("laid")})
	if err != nil {
		return err
	}
	return s.Close()
})

// database makes a new one, laid or empty. It goes with its cluster.
func database(t testing.TB, laid bool) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	from := "template1"
	if err := template(); err != nil {
		t.Fatal(err)
	}
	if laid {
		from = "laid"
	}
	admin(t, "postgres", fmt.Sprintf(`CREATE DATABASE %s OWNER owner TEMPLATE %s`, name, from))
	return name
}

// lent returns a laid database that holds nothing; the next test gets it when
// this one is over. To make one for each of many tests would take minutes.
func lent(t testing.TB) string {
	t.Helper()
	var name string
	select {
	case name = <-free:
		admin(t, name, wipe)
	default:
		name = database(t, true)
	}
	t.Cleanup(func() { free <- name })
	return name
}

var free = make(chan string, 1000)

const wipe = `DO $$
	DECLARE t regclass;
	BEGIN
		SET LOCAL session_replication_role = replica;
		ALTER TABLE berth.audit_log DISABLE TRIGGER append_only;
		FOR t IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'
			AND n.nspname IN ('berth', 'public') AND c.relname NOT IN ('made', 'schema_migrations') LOOP
			EXECUTE format('DELETE FROM %s', t);
		END LOOP;
		INSERT INTO berth.outbox (seq) VALUES (0);
		ALTER TABLE berth.audit_log ENABLE ALWAYS TRIGGER append_only;
	END $$`

// making is held while a database is made: the template must not be in use.
var making sync.Mutex

// admin runs statements as the superuser, beside every store.
func admin(t testing.TB, database, statements string) {
	t.Helper()
	making.Lock()
	defer making.Unlock()
	if err := server.Exec(context.Background(), database, statements); err != nil { // also in cleanups
		t.Fatal(err)
	}
}

// open opens a store that the test's cleanup closes.
func open(t testing.TB, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	return closed(t, s, err)
}

// recorded is open, with a recorder of all that the store runs.
func recorded(t testing.TB, url string, r *postgres.Recorder) *postgres.Store {
	t.Helper()
	s, err := postgres.OpenRecorded(t.Context(), postgres.Options{URL: url}, r)
	return closed(t, s, err)
}

// closed has the test's cleanup close a store.
func closed(t testing.TB, s *postgres.Store, err error) *postgres.Store {
	t.Helper()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
