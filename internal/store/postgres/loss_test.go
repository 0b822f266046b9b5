package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
)

// terminate ends the server's side of every connection to a database.
func terminate(t testing.TB, database string) {
	t.Helper()
	admin(t, "postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+database+`'`)
}

func TestConnectionsThatWereEndedMeanwhileAreReplaced(t *testing.T) {
	t.Parallel()
	name := lent(t)
	s := open(t, login(name))
	for n := range 3 {
		terminate(t, name)
		insert(t, s, n)
		terminate(t, name)
		if got := ports(t, s); len(got) != n+1 {
			t.Errorf("ports %v", got)
		}
	}
}

func TestATransactionWhoseConnectionIsEndedRunsAgainWhole(t *testing.T) {
	t.Parallel()
	name := lent(t)
	s := open(t, login(name))
	ctx := t.Context()
	runs := 0
	err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		runs++
		if err := tx.InsertTenant(ctx, newTenant(runs)); err != nil {
			return err
		}
		if runs == 1 {
			terminate(t, name)
		}
		return tx.InsertTenant(ctx, newTenant(10+runs))
	})
	if err != nil || runs != 2 {
		t.Errorf("%d runs, %v", runs, err)
	}
	if got := ports(t, s); !reflect.DeepEqual(got, []int{3003, 3013}) {
		t.Errorf("ports %v, want those of the second run", got)
	}
	runs = 0
	err = s.View(ctx, berth.System(), func(tx store.Tx) error {
		if runs++; runs == 1 {
			terminate(t, name)
		}
		_, err := tx.TakenPorts(ctx)
		return err
	})
	if err != nil || runs != 2 {
		t.Errorf("view: %d runs, %v", runs, err)
	}
}

func TestACommitThatIsCutOffEndsInTheTruth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cuts []cut
		runs int
	}{
		{"before the server saw it", []cut{cutBefore}, 2},
		{"before the server saw it, twice", []cut{cutBefore, cutBefore}, 3},
		{"after the server did it", []cut{cutAfter}, 1},
		{"before, then after", []cut{cutBefore, cutAfter}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, url := through(t, login(lent(t)))
			s := open(t, url)
			p.atCommits(c.cuts...)
			runs := 0
			err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
				runs++
				return tx.InsertTenant(t.Context(), newTenant(1))
			})
			if err != nil || runs != c.runs {
				t.Errorf("%d runs, want %d: %v", runs, c.runs, err)
			}
			if got := ports(t, s); !reflect.DeepEqual(got, []int{3002}) {
				t.Errorf("ports %v", got)
			}
		})
	}
}

func TestACommitOfWhichNobodyCanTellIsSaidToBeUnknown(t *testing.T) {
	t.Parallel()
	p, url := through(t, login(lent(t)))
	s := open(t, url)
	p.atCommits(cutUnasked)
	err := tryInsert(t.Context(), s, 1)
	var e *berth.Error
	if !errors.As(err, &e) || e.Code != berth.CodeOutcomeUnknown || !strings.Contains(e.Hint, "Idempotency-Key") {
		t.Fatalf("got %v, want %s and what to do", err, berth.CodeOutcomeUnknown)
	}
	p.refuse(false)
	if got := ports(t, s); !reflect.DeepEqual(got, []int{3002}) {
		t.Errorf("ports %v", got)
	}
}

func TestAServerThatStaysAwayIsSaidToBeUnavailable(t *testing.T) {
	t.Parallel()
	p, url := through(t, login(lent(t)))
	s := open(t, url)
	p.refuse(true)
	p.cutAll()
	began := time.Now()
	for _, err := range []error{
		tryInsert(t.Context(), s, 1),
		s.View(t.Context(), berth.System(), func(tx store.Tx) error { _, err := tx.TakenPorts(t.Context()); return err }),
	} {
		var e *berth.Error
		if !errors.As(err, &e) || e.Code != berth.CodeStorageUnavailable || e.Hint == "" {
			t.Errorf("got %v, want %s with a hint", err, berth.CodeStorageUnavailable)
		}
		silent(t, err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	p.refuse(false)
	insert(t, s, 2)
}

func TestAServerThatComesBackSoonIsWaitedFor(t *testing.T) {
	t.Parallel()
	p, url := through(t, login(lent(t)))
	s := open(t, url)
	p.refuse(true)
	p.cutAll()
	back := time.AfterFunc(500*time.Millisecond, func() { p.refuse(false) })
	defer back.Stop()
	insert(t, s, 2)
}

func TestAServerThatFallsSilentKeepsNobodyLongerThanItsContext(t *testing.T) {
	t.Parallel()
	p, url := through(t, login(lent(t)))
	s := open(t, url)
	insert(t, s, 1)
	p.pause()
	for name, call := range map[string]func(context.Context) error{
		"a view": func(ctx context.Context) error {
			return s.View(ctx, berth.System(), func(store.Tx) error { return nil })
		},
		"a write": func(ctx context.Context) error { return tryInsert(ctx, s, 2) },
		"a lease": func(ctx context.Context) error { _, _, _, err := s.Holder(ctx, "e"); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		began := time.Now()
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want that the context ended", name, err)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		cancel()
	}
	p.resume()
	insert(t, s, 3)
}

// silent fails the test if an error holds the password, however it is printed.
func silent(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		t.Error("no error")
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, password) {
			t.Errorf("an error tells the password: %s", text)
		}
	}
}

func TestNoErrorTellsThePassword(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"nobody listens":  "postgres://owner:" + password + "@127.0.0.1:1/x",
		"no such host":    "postgres://owner:" + password + "@nowhere.invalid/x",
		"not escaped":     "postgres://owner:" + password + "@%zz/x",
		"a bad port":      "postgres://owner:" + password + "@127.0.0.1:port/x",
		"keywords":        "host=127.0.0.1 port=1 user=owner password=" + password,
		"a bad keyword":   "host=127.0.0.1 port=x user=owner password=" + password,
		"a bad parameter": "postgres://owner:" + password + "@127.0.0.1/x?pool_max_conns=many",
		"no such mode":    "postgres://owner:" + password + "@127.0.0.1/x?default_query_exec_mode=fast",
		"no such role":    strings.Replace(login("postgres"), "owner", "stranger", 1),
		"no such base":    login("nowhere"),
	} {
		_, err := postgres.Open(t.Context(), postgres.Options{URL: url})
		silent(t, err)
		var e *berth.Error
		if !errors.As(err, &e) || e.Code != berth.CodeStorageUnavailable || e.Hint == "" || strings.Contains(e.Hint, password) {
			t.Errorf("%s: got %v, want %s with a hint", name, err, berth.CodeStorageUnavailable)
		}
	}
	if _, err := postgres.Open(t.Context(), postgres.Options{}); err == nil {
		t.Error("opened without a URL")
	}
}
