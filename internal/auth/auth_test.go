package auth_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

func open(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(dir, "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// deaf is a store that must not be asked.
type deaf struct{ store.Store }

func (deaf) View(context.Context, berth.Actor, func(store.Tx) error) error {
	return errors.New("asked")
}

func TestATokenIsKnownByItsTextAndStoredAsAHash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a := auth.New(auth.Config{Store: s})
	text, tok, err := a.Create(t.Context(), berth.System(), auth.NewToken{Name: "ci"})
	must(t, err)
	if !strings.HasPrefix(text, "berth_") || len(text) != 6+43+6 || !strings.HasPrefix(text, tok.Prefix) {
		t.Errorf("text %q, prefix %q", text, tok.Prefix)
	}
	actor, err := a.Authenticate(t.Context(), auth.Request{Bearer: text})
	if err != nil || actor.Role != berth.RoleOperator || actor.ID != tok.ID {
		t.Errorf("%+v, %v", actor, err)
	}
	must(t, s.Close())
	for _, name := range []string{"berth.db", "berth.db-wal"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && bytes.Contains(data, []byte(text)) {
			t.Errorf("%s holds the token", name)
		}
	}
}

func TestAMistypedTokenIsRefusedWithoutAskingTheDatabase(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	text, _, err := auth.New(auth.Config{Store: s}).Create(t.Context(), berth.System(), auth.NewToken{Name: "ci"})
	must(t, err)
	for _, bad := range []string{"", "berth_", text[:len(text)-1], text + "x", text[:20] + "A" + text[21:], strings.ToLower(text)} {
		if bad == text {
			continue
		}
		if _, err := auth.New(auth.Config{Store: deaf{s}}).Authenticate(t.Context(), auth.Request{Bearer: bad}); !berth.Is(err, berth.CodeUnauthenticated) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAnExpiredOrRevokedTokenIsRefusedAndUseIsNotedByTheMinute(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir)
		defer func() { must(t, s.Close()) }()
		a := auth.New(auth.Config{Store: s})
		text, tok, err := a.Create(t.Context(), berth.System(), auth.NewToken{Name: "ci", ExpiresAt: time.Now().Add(time.Hour)})
		must(t, err)
		used := func() time.Time {
			list, _, err := a.Tokens(t.Context(), berth.System(), "", store.Page{})
			must(t, err)
			return list[0].LastUsedAt
		}
		ask := func() error { _, err := a.Authenticate(t.Context(), auth.Request{Bearer: text}); return err }
		must(t, ask())
		first := used()
		<-time.After(30 * time.Second)
		must(t, ask())
		if !used().Equal(first) {
			t.Error("noted twice within a minute")
		}
		<-time.After(31 * time.Second)
		must(t, ask())
		if !used().After(first) {
			t.Error("not noted after a minute")
		}
		<-time.After(time.Hour)
		if err := ask(); !berth.Is(err, berth.CodeUnauthenticated) {
			t.Errorf("after its end: %v", err)
		}
		other, tok2, err := a.Create(t.Context(), berth.System(), auth.NewToken{Name: "two"})
		must(t, err)
		must(t, a.Revoke(t.Context(), berth.System(), tok2.ID))
		must(t, a.Revoke(t.Context(), berth.System(), tok2.ID))
		if _, err := a.Authenticate(t.Context(), auth.Request{Bearer: other}); !berth.Is(err, berth.CodeUnauthenticated) {
			t.Errorf("revoked: %v", err)
		}
		if err := a.Revoke(t.Context(), berth.System(), "nobody"); !berth.Is(err, berth.CodeNotFound) {
			t.Errorf("revoking what is not there: %v", err)
		}
		_ = tok
	})
}

func TestNobodyManagesTokensOfWhatTheyMayNotManage(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	a := auth.New(auth.Config{Store: s})
	_, tok, err := a.Create(t.Context(), berth.System(), auth.NewToken{Name: "x"})
	must(t, err)
	for _, actor := range []berth.Actor{{}, {Role: berth.RoleDeployer}, {Role: berth.RoleOperator, Scopes: berth.ScopeRead}, {Role: berth.RoleOperator, OrganizationID: "550e8400-e29b-41d4-a716-446655440001"}} {
		if _, _, err := a.Create(t.Context(), actor, auth.NewToken{Name: "x"}); !berth.Is(err, berth.CodeForbidden) {
			t.Errorf("%+v creates: %v", actor, err)
		}
		if list, _, err := a.Tokens(t.Context(), actor, "", store.Page{}); err == nil || list != nil {
			t.Errorf("%+v lists: %v, %v", actor, list, err)
		}
		if err := a.Revoke(t.Context(), actor, tok.ID); err == nil {
			t.Errorf("%+v revokes", actor)
		}
	}
}

func TestTheFirstStartLeavesAnOperatorsToken(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer func() { must(t, s.Close()) }()
	a := auth.New(auth.Config{Store: s})
	path := filepath.Join(dir, auth.OperatorFile)
	ensure := func() string {
		t.Helper()
		must(t, a.EnsureOperatorToken(t.Context(), dir))
		data, err := os.ReadFile(path)
		must(t, err)
		info, err := os.Lstat(path)
		must(t, err)
		if info.Mode() != 0o600 {
			t.Errorf("mode %v", info.Mode())
		}
		if _, err := a.Authenticate(t.Context(), auth.Request{Bearer: strings.TrimSpace(string(data))}); err != nil {
			t.Errorf("the token in the file: %v", err)
		}
		return string(data)
	}
	first := ensure()
	if ensure() != first {
		t.Error("a valid token was replaced")
	}
	must(t, os.Chmod(path, 0o644))
	if ensure() != first {
		t.Error("a valid token was replaced")
	}
	must(t, os.Remove(path))
	second := ensure()
	if second == first {
		t.Error("a lost token came back")
	}
	must(t, os.WriteFile(path, []byte("rubbish\n"), 0o600))
	ensure()
	elsewhere := filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(elsewhere, []byte("keep"), 0o600))
	must(t, os.Remove(path))
	must(t, os.Symlink(elsewhere, path))
	ensure()
	if data, err := os.ReadFile(elsewhere); err != nil || string(data) != "keep" {
		t.Errorf("the link was followed: %q, %v", data, err)
	}
}
