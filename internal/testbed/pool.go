package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const poolClaims = claims + "/berth-test-pools"

// pools is how many tests of this machine can have a pool at a time.
const pools = 64

// Pool is a prefix that tests of no other process on this machine have: several
// packages' tests run on one Engine, which gives no address twice.
type Pool struct {
	netip.Prefix

	number int
	lock   *os.File
}

// ClaimPool claims a /18 of 10.80.0.0/12, outside what Berth and the Engine take by
// default. It is free again when it is released, and when the process ends. What a
// process that was killed left in it goes, if the claim's file proves that it is a
// test's. A pool in which anything else is on the Engine is passed over.
func ClaimPool(ctx context.Context) (*Pool, error) {
	return claimSwept(poolClaims, func(p *Pool) error { return p.sweep(ctx) })
}

func claimSwept(dir string, sweep func(*Pool) error) (*Pool, error) {
	var errs []error
	for n := 0; n < pools; {
		p, err := claimPool(dir, n, pools)
		if err != nil {
			return nil, errors.Join(append(errs, err)...)
		}
		if err = sweep(p); err == nil {
			return p, nil
		}
		if err := p.Release(); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
			errs = append(errs, err)
		}
		n = p.number + 1 // there are others
	}
	return nil, fmt.Errorf("no pool of tests is free: %w", errors.Join(errs...))
}

// claimPool claims the first free pool of those numbers.
func claimPool(dir string, from, to int) (*Pool, error) {
	n, lock, err := claim(dir, from, to)
	if err != nil {
		return nil, fmt.Errorf("pools of tests: %w", err)
	}
	p := poolAt(n)
	p.lock = lock
	return p, nil
}

func poolAt(n int) *Pool {
	addr := netip.AddrFrom4([4]byte{10, byte(80 + n>>2), byte(n&3) << 6})
	return &Pool{Prefix: netip.PrefixFrom(addr, 18), number: n}
}

// Owns says what a test is about to make on the Engine in the pool: all with the label
// of an installation, or the network of a name, and what has the network's name and a
// dash before its own. Names must be unique: they are what the next process that
// claims the pool knows a killed test's remains by.
func (p *Pool) Owns(names ...string) error { return own(p.lock.Name(), names...) }

// claimOf is the file of the claim on a pool; ok is false for any other prefix.
func claimOf(pool string) (file string, ok bool) {
	for n := range pools {
		if poolAt(n).String() == pool {
			return filepath.Join(poolClaims, fmt.Sprint(n)), true
		}
	}
	return "", false
}

// Release gives the pool to others.
func (p *Pool) Release() error { return p.lock.Close() }

// NewPool claims a pool that goes with the test.
func NewPool(t *testing.T) *Pool {
	t.Helper()
	p, err := ClaimPool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Release(); err != nil {
			t.Error(err)
		}
	})
	return p
}
