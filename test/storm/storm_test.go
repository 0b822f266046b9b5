// Package storm_test lets everything happen at once: the real binary on a real
// Engine takes random orders while it is killed, and while people kill, remove,
// rename, pause and cut off containers and take images away. When the storm is
// over, every tenant is exactly as it was ordered to be, and of those that are
// deprovisioned nothing is left.
package storm_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/unite-hub/berth/internal/testbed"
)

var rig testbed.Rig

func TestMain(m *testing.M) { os.Exit(testbed.Main(m, "storm", &rig)) }

// The short storm is part of every run of the tests; BERTH_LONG=1 has half an
// hour of them, each from a seed of its own. BERTH_SEED=N repeats one, as far as
// its plan goes: what meets what is up to the machine.
const (
	shortStorm, shortTenants = 25 * time.Second, 2
	longStorm, longTenants   = 150 * time.Second, 4
	longAltogether           = 30 * time.Minute
)

func TestAfterAStormEveryTenantIsAsItWasOrdered(t *testing.T) {
	blow, tenants, end := shortStorm, shortTenants, time.Now()
	if os.Getenv("BERTH_LONG") != "" {
		blow, tenants, end = longStorm, longTenants, time.Now().Add(longAltogether)
	}
	seed := rand.Uint64()
	if text := os.Getenv("BERTH_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for number := 0; number == 0 || time.Now().Before(end); number++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { storm(t, seed, tenants, blow) })
		if t.Failed() {
			return
		}
		seed = rand.New(rand.NewPCG(seed, 0)).Uint64()
	}
}

func storm(t *testing.T, seed uint64, tenants int, blow time.Duration) {
	s := newSite(t)
	for n := range tenants {
		s.tenants = append(s.tenants, s.newTenant(n))
	}
	over := make(chan struct{})
	timer := time.AfterFunc(blow, func() { close(over) })
	defer timer.Stop()
	var all sync.WaitGroup
	for i, tn := range s.tenants {
		all.Go(func() { s.orders(tn, rand.New(rand.NewPCG(seed, uint64(2*i+1))), over) })
		all.Go(func() { s.weather(tn, rand.New(rand.NewPCG(seed, uint64(2*i+2))), over) })
	}
	all.Go(func() { s.kills(rand.New(rand.NewPCG(seed, 0)), over) })
	all.Wait()
	if t.Failed() {
		return
	}
	s.account()
	for _, tn := range s.tenants {
		s.converges(tn)
	}
	for _, tn := range s.tenants {
		s.leavesNothing(tn)
	}
}
