// Package rls holds the PostgreSQL schema against a real server: that it comes
// up anywhere, and that it keeps organizations apart.
package rls

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/unite-hub/berth/internal/testbed"
	"github.com/unite-hub/berth/supabase"
)

// Two organizations, of which the actors belong to the first one.
const (
	ours   = "550e8400-e29b-41d4-a716-446655440001"
	theirs = "550e8400-e29b-41d4-a716-446655440002"
)

// server is everybody's; each test has its own database.
var server *testbed.Postgres

// migrated is a database with the schema in it, to copy from.
const migrated = "migrated"

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		log.Print(err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	if server, err = testbed.StartPostgres(ctx); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, server.Stop(), goleak.Find()) }()
	if err := prepare(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// prepare makes the roles that log in, and the database to copy from.
func prepare(ctx context.Context) error {
	err := server.Exec(ctx, "postgres", `
		CREATE ROLE plain_owner LOGIN CREATEROLE;
		CREATE ROLE sb_admin NOLOGIN;
		CREATE ROLE sb_owner LOGIN CREATEROLE;`)
	if err == nil {
		err = server.CreateDatabase(ctx, migrated, "")
	}
	if err != nil {
		return err
	}
	c, err := pgx.Connect(ctx, server.URL(migrated))
	if err != nil {
		return err
	}
	// As the documentation says that Berth's login should be made.
	_, logins := c.PgConn().Exec(ctx, up(nil)+`
		CREATE ROLE berth_login LOGIN NOINHERIT;
		GRANT berth_api, berth_system TO berth_login;
		CREATE ROLE authenticator LOGIN NOINHERIT;
		GRANT anon, authenticated, service_role TO authenticator;`).ReadAll()
	return errors.Join(logins, c.Close(ctx))
}

// files returns the text of a folder's files in order.
func files(folder fs.FS, pattern string) []string {
	names, err := fs.Glob(folder, pattern)
	if err != nil {
		panic(err)
	}
	var texts []string
	for _, name := range names {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			panic(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// up is the whole way up as one text; down the way down.
func up(*testing.T) string { return strings.Join(files(supabase.Migrations, "migrations/*.sql"), "\n") }
func down(*testing.T) string {
	texts := files(supabase.Rollbacks, "rollbacks/*.sql")
	slices.Reverse(texts)
	return strings.Join(texts, "\n")
}

var databases atomic.Int64

// database makes a database for one test: a copy of template, or an empty one
// that owner owns.
func database(t *testing.T, template, owner string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := server.CreateDatabase(t.Context(), name, template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	if owner != "" {
		if err := server.Exec(t.Context(), "postgres", "ALTER DATABASE "+name+" OWNER TO "+owner); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// conn is one connection of one test.
type conn struct {
	*testing.T
	*pgx.Conn
}

func connect(t *testing.T, role, database string) conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), server.URLAs(role, database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return conn{t, c}
}

// run executes statements, several at once too.
func (c conn) run(statements string) {
	c.Helper()
	if err := c.try(statements); err != nil {
		c.Fatal(err)
	}
}

func (c conn) try(statements string) error {
	_, err := c.PgConn().Exec(c.Context(), statements).ReadAll()
	return err
}

// rows returns the first column of a query.
func rows[T any](c conn, query string, args ...any) []T {
	c.Helper()
	found, err := c.Query(c.Context(), query, args...)
	if err != nil {
		c.Fatal(err)
	}
	list, err := pgx.CollectRows(found, pgx.RowTo[T])
	if err != nil {
		c.Fatalf("%s: %v", query, err)
	}
	return list
}

func one[T any](c conn, query string, args ...any) T {
	c.Helper()
	list := rows[T](c, query, args...)
	if len(list) != 1 {
		c.Fatalf("%s: %d rows", query, len(list))
	}
	return list[0]
}

// code is PostgreSQL's for an error, "" for none.
func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
