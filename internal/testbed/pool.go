package testbed

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
)

// pools is how many tests of this machine can have a pool at a time.
const pools = 64

// Pool is a prefix that tests of no other process on this machine have: several
// packages' tests run on one Engine, which gives no address twice.
type Pool struct {
	netip.Prefix

	lock *os.File
}

// ClaimPool claims a /18 of 10.80.0.0/12, outside what Berth and the Engine take by
// default. It is free again when it is released, and when the process ends.
func ClaimPool() (*Pool, error) {
	dir := filepath.Join(os.TempDir(), "berth-test-pools")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	for n := range pools {
		lock, err := os.OpenFile(filepath.Join(dir, fmt.Sprint(n)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			addr := netip.AddrFrom4([4]byte{10, byte(80 + n>>2), byte(n&3) << 6})
			return &Pool{Prefix: netip.PrefixFrom(addr, 18), lock: lock}, nil
		}
		_ = lock.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
	}
	return nil, fmt.Errorf("all %d pools of tests are claimed: see who holds the files in %s", pools, dir)
}

// Release gives the pool to others.
func (p *Pool) Release() error { return p.lock.Close() }
