package rekey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/rekey"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/secret/secrettest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const org = "550e8400-e29b-41d4-a716-446655440001"

// world is a database and two control planes' keys, of one file.
type world struct {
	*testing.T
	store *sqlite.Store
	dir   string
	box   *secret.Box
	other *secret.Box
	log   lines
}

// lines are a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	var err error
	w.box, err = secrettest.Create(w.dir)
	w.must(err)
	w.other, err = secrettest.Load(w.dir)
	w.must(err)
	w.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(w.dir, "berth.db")})
	w.must(err)
	t.Cleanup(func() { w.must(w.store.Close()) })
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) put(box *secret.Box, from, n int) {
	w.Helper()
	w.must(w.store.InTx(w.Context(), berth.System(), func(tx store.Tx) error {
		for i := from; i < from+n; i++ {
			name := fmt.Sprintf("NAME_%04d", i)
			c, err := box.Seal([]byte("value of "+name), berth.SecretContext(org, name))
			if err == nil {
				err = tx.InsertSecret(w.Context(), store.SecretVersion{ID: berth.NewID(), OrganizationID: org, Name: name, Ciphertext: c, CreatedAt: time.Unix(1, 0).UTC()})
			}
			if err != nil {
				return err
			}
		}
		registry := fmt.Sprintf("r%d.example.com", from)
		c, err := box.Seal([]byte("value of "+registry), berth.RegistryContext(registry))
		if err != nil {
			return err
		}
		if err := tx.PutCredential(w.Context(), store.StoredCredential{Registry: registry, Username: "u", Ciphertext: c, UpdatedAt: time.Unix(1, 0).UTC()}); err != nil {
			return err
		}
		id := berth.NewID()
		if c, err = box.Seal([]byte("value of "+id), berth.ChannelContext(id)); err != nil {
			return err
		}
		return tx.InsertChannel(w.Context(), store.StoredChannel{Ciphertext: c, Channel: berth.Channel{ID: id, Type: berth.ChannelWebhook, Target: "https://h.example", Enabled: true, CreatedAt: time.Unix(1, 0).UTC()}})
	}))
}

func (w *world) all() (list []store.Sealed) {
	w.Helper()
	w.must(w.store.View(w.Context(), berth.System(), func(tx store.Tx) (err error) {
		list, _, err = tx.ListSealed(w.Context(), store.Page{Limit: store.Unbounded})
		return err
	}))
	return list
}

// check opens everything and returns how much is not sealed under the primary key.
func (w *world) check(box *secret.Box) (old int) {
	w.Helper()
	primary, err := box.Primary()
	w.must(err)
	for _, s := range w.all() {
		ad, want := map[string]string{
			"secret": berth.SecretContext(s.OrganizationID, s.Name), "registry": berth.RegistryContext(s.ID), "channel": berth.ChannelContext(s.ID),
		}[s.Kind], "value of "+s.ID
		if s.Kind == "secret" {
			want = "value of " + s.Name
		}
		got, err := box.Open(s.Ciphertext, ad)
		if err != nil || string(got) != want {
			w.Errorf("%s %s opens to %q, %v", s.Kind, s.ID, got, err)
		}
		if id, _ := secret.KeyOf(s.Ciphertext); id != primary {
			old++
		}
	}
	return old
}

// run runs a Rekeyer until the returned function is called.
func (w *world) run(s store.Store, box *secret.Box) (r *rekey.Rekeyer, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	r = rekey.New(s, box, slog.New(slog.NewTextHandler(&w.log, nil)))
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	}
}

func (w *world) eventually(what string, holds func() bool) {
	w.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			w.Fatalf("not yet: %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func TestEverythingIsSealedAnewAfterARotation(t *testing.T) {
	w := newWorld(t)
	w.put(w.box, 0, 220)
	r, stop := w.run(w.store, w.box)
	defer stop()
	_, err := w.box.Rotate(t.Context(), time.Unix(1, 0))
	w.must(err)
	if old := w.check(w.box); old != 222 {
		t.Errorf("%d values under the old key, want all 222", old)
	}
	r.Poke()
	w.eventually("everything under the new key", func() bool { return w.check(w.other) == 0 })
}

// Two control planes seal anew what orders write at the same time.
func TestOrdersGoOnWhileEverythingIsSealedAnew(t *testing.T) {
	w := newWorld(t)
	w.put(w.box, 0, 100)
	one, stopOne := w.run(w.store, w.box)
	defer stopOne()
	w2 := &world{T: t, store: w.store, box: w.other}
	two, stopTwo := w2.run(w.store, w.other)
	defer stopTwo()
	var orders sync.WaitGroup
	orders.Go(func() {
		for i := range 30 {
			w.put([]*secret.Box{w.box, w.other}[i%2], 1000+10*i, 5)
			w.check(w.other)
		}
	})
	for range 5 {
		_, err := w.box.Rotate(t.Context(), time.Unix(1, 0))
		w.must(err)
		one.Poke()
		two.Poke()
		<-time.After(30 * time.Millisecond)
	}
	orders.Wait()
	one.Poke()
	two.Poke()
	w.eventually("everything under the newest key", func() bool {
		one.Poke()
		return w.check(w.box) == 0
	})
	keys, err := w.box.Keys()
	w.must(err)
	for _, k := range keys[:len(keys)-1] {
		w.must(w.box.Retire(t.Context(), k.ID))
	}
	w.check(w.box)
	w.check(w.other)
}

// stopping is a store whose nth write fails, as if the process had ended.
type stopping struct {
	store.Store
	mu   sync.Mutex
	left int
}

func (s *stopping) InTx(ctx context.Context, a berth.Actor, fn func(store.Tx) error) error {
	s.mu.Lock()
	s.left--
	stop := s.left < 0
	s.mu.Unlock()
	if stop {
		return errors.New("the disk is gone")
	}
	return s.Store.InTx(ctx, a, fn)
}

func TestWhatACrashLeftIsSealedAnewAtTheNextStart(t *testing.T) {
	w := newWorld(t)
	w.put(w.box, 0, 220)
	_, err := w.box.Rotate(t.Context(), time.Unix(1, 0))
	w.must(err)
	_, stop := w.run(&stopping{Store: w.store, left: 2}, w.box)
	w.eventually("half of it", func() bool { return strings.Contains(w.log.String(), "the disk is gone") })
	stop()
	if old := w.check(w.box); old == 0 || old == 222 {
		t.Fatalf("%d values are left, want some", old)
	}
	_, stop = w.run(w.store, w.box)
	defer stop()
	w.eventually("everything", func() bool { return w.check(w.box) == 0 })
}

func TestAValueThatDoesNotOpenStaysAndIsReported(t *testing.T) {
	w := newWorld(t)
	stranger, err := secrettest.Create(t.TempDir())
	w.must(err)
	w.put(stranger, 0, 1)
	before := w.all()
	w.put(w.box, 10, 1)
	_, err = w.box.Rotate(t.Context(), time.Unix(1, 0))
	w.must(err)
	r, stop := w.run(w.store, w.box)
	r.Poke()
	w.eventually("the others", func() bool {
		primary, err := w.box.Primary()
		w.must(err)
		n := 0
		for _, s := range w.all() {
			if id, _ := secret.KeyOf(s.Ciphertext); id == primary {
				n++
			}
		}
		return n == 3 && strings.Contains(w.log.String(), "can't be opened")
	})
	stop()
	for _, s := range w.all() {
		for _, b := range before {
			if s.ID == b.ID && !bytes.Equal(s.Ciphertext, b.Ciphertext) {
				t.Errorf("%s %s was changed", s.Kind, s.ID)
			}
		}
	}
	if strings.Contains(w.log.String(), "value of") {
		t.Errorf("the log: %s", w.log.String())
	}
}
