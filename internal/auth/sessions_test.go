package auth

import (
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

const user = "11111111-1111-4111-8111-111111111111"

// sessionOf begins a session for a user.
func sessionOf(t *testing.T, a *Auth) (text string) {
	t.Helper()
	err := a.Store.InTx(t.Context(), berth.System(), func(tx store.Tx) (err error) {
		u := berth.User{ID: user, Email: "ada@example.com", Name: "Ada", Operator: true, CreatedAt: store.Now()}
		if err := tx.PutUser(t.Context(), u); err != nil {
			return err
		}
		text, err = begin(t.Context(), tx, u, Request{Address: "192.0.2.1"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newAuth(t *testing.T, dir string) *Auth {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(Config{Store: s, Failures: Failures{Burst: 1000}})
}

func TestASessionEndsWhenItIsNotUsedAndAfterItsLifeWhateverHappens(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, dir)
		idle, busy := sessionOf(t, a), sessionOf(t, a)
		ask := func(text string) error {
			_, err := a.Authenticate(t.Context(), Request{Session: text})
			return err
		}
		began := time.Now()
		for time.Since(began) < SessionLifetime-time.Hour {
			<-time.After(11 * time.Hour)
			if err := ask(busy); err != nil && time.Since(began) < SessionLifetime {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
		}
		if err := ask(idle); !berth.Is(err, berth.CodeUnauthenticated) {
			t.Errorf("not used for days: %v", err)
		}
		if err := ask(busy); time.Since(began) >= SessionLifetime && !berth.Is(err, berth.CodeUnauthenticated) {
			t.Errorf("after its life: %v", err)
		}
		edge := sessionOf(t, a)
		<-time.After(sessionIdle - time.Second)
		if err := ask(edge); err != nil {
			t.Errorf("used just in time: %v", err)
		}
		<-time.After(sessionIdle)
		if err := ask(edge); !berth.Is(err, berth.CodeUnauthenticated) {
			t.Errorf("a second late: %v", err)
		}
		c := Caller{User: berth.User{ID: user}}
		if open, err := a.Sessions(t.Context(), c); err != nil || len(open) != 0 {
			t.Errorf("listed: %v, %v", open, err)
		}
	})
}

func TestFailuresAreCountedByAddressAndByTokenInBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFailures(Failures{Burst: 3, Every: time.Second})
		for i := range 4 {
			if tooMany := f.note(time.Now(), "a"); tooMany != (i == 3) {
				t.Errorf("failure %d: too many is %v", i, tooMany)
			}
		}
		if f.note(time.Now(), "b") || !f.note(time.Now(), "a", "b") || !f.spent(time.Now(), "a") || f.spent(time.Now(), "c") {
			t.Error("keys are not counted each by itself")
		}
		<-time.After(time.Second)
		if f.spent(time.Now(), "a") || f.note(time.Now(), "a") || !f.note(time.Now(), "a") {
			t.Error("a second did not give back one")
		}
		keys := []string{"a", "b"}
		for i := range 3 * mostLimits {
			keys = append(keys, fmt.Sprint(i))
			f.note(time.Now(), fmt.Sprint(i))
		}
		kept := 0
		for _, key := range keys {
			if _, ok := f.byKey.Peek(key); ok {
				kept++
			}
		}
		if kept != mostLimits {
			t.Errorf("%d are kept", kept)
		}
	})
}

func TestAnAddressIsAWholeIPv6Network(t *testing.T) {
	for _, same := range [][2]string{{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2"}, {"192.0.2.1", "::ffff:192.0.2.1"}, {"fe80::1%eth0", "fe80::2"}, {"", "nonsense"}} {
		if network(same[0]) != network(same[1]) {
			t.Errorf("%s is %s, %s is %s", same[0], network(same[0]), same[1], network(same[1]))
		}
	}
	for _, apart := range [][2]string{{"2001:db8:0:1::1", "2001:db8:0:2::1"}, {"192.0.2.1", "192.0.2.2"}} {
		if network(apart[0]) == network(apart[1]) {
			t.Errorf("%s and %s are %s", apart[0], apart[1], network(apart[0]))
		}
	}
}

func TestASealedCookieIsOpenedForItsPurposeWithItsKeyOnly(t *testing.T) {
	key := make([]byte, 32)
	s, other := newSealer(key), newSealer(nil)
	text, err := s.seal(forProof, proof{Email: "ada@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	var p proof
	if !newSealer(key).open(forProof, text, &p) || p.Email != "ada@example.com" {
		t.Error("another control plane with the same key does not open it")
	}
	if s.open(forSignIn, text, &p) || other.open(forProof, text, &p) || s.open(forProof, text[1:], &p) || s.open(forProof, "", &p) {
		t.Error("opened")
	}
	a := New(Config{})
	stale, err := a.sealer.seal(forProof, proof{Email: "ada@example.com", Until: time.Now().Add(-time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := a.openProof(stale); ok {
		t.Error("a proof that is over counts")
	}
}

func TestAnInvitationIsOverAfterSevenDays(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, dir)
		var texts []string
		for range 2 {
			text, i, err := a.Invite(t.Context(), berth.System(), NewInvitation{Email: "ada@example.com", Role: berth.RoleOperator})
			if err != nil || i.ExpiresAt.Sub(i.CreatedAt) != 7*24*time.Hour {
				t.Fatalf("%+v, %v", i, err)
			}
			texts = append(texts, text)
		}
		c := Caller{proof: proof{Issuer: "https://id.example.com", Subject: "x", Email: "ada@example.com"}}
		<-time.After(invitationLifetime - time.Second)
		if _, err := a.Accept(t.Context(), c, Request{}, texts[0]); err != nil {
			t.Errorf("just in time: %v", err)
		}
		<-time.After(time.Second)
		if _, err := a.Accept(t.Context(), c, Request{}, texts[1]); !berth.Is(err, berth.CodeInvitationInvalid) {
			t.Errorf("a second late: %v", err)
		}
		for _, expires := range []time.Time{time.Now(), time.Now().Add(31 * 24 * time.Hour)} {
			if _, _, err := a.Invite(t.Context(), berth.System(), NewInvitation{Email: "ada@example.com", Role: berth.RoleOperator, ExpiresAt: expires}); !berth.Is(err, berth.CodeInvalidRequest) {
				t.Errorf("until %s: %v", expires, err)
			}
		}
	})
}
