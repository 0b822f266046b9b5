package auth

import (
	"cmp"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/lru"
	"github.com/unite-hub/berth/internal/netguard"
)

// Failures bounds how many attempts may fail at once from one address, and with
// the beginning of one token. What is right is never refused: nobody can lock
// somebody else out who asks from the same address.
type Failures struct {
	Burst int           // so many at once; 0: 20
	Every time.Duration // and one more in each; 0: 3 s
}

const (
	defaultBurst = 20
	defaultEvery = 3 * time.Second

	// mostLimits bounds memory: what failed longest ago is forgotten first.
	mostLimits = 10_000
)

// failures counts what failed, by key.
type failures struct {
	burst int
	every rate.Limit
	byKey *lru.Map[string, *rate.Limiter]
}

func newFailures(f Failures) *failures {
	return &failures{
		burst: cmp.Or(f.Burst, defaultBurst), every: rate.Every(cmp.Or(f.Every, defaultEvery)),
		byKey: lru.New[string, *rate.Limiter](mostLimits),
	}
}

// note counts a failure for each key and reports whether it was one too many
// for any of them.
func (f *failures) note(now time.Time, keys ...string) (tooMany bool) {
	for _, key := range keys {
		limiter := f.byKey.Use(key, func() *rate.Limiter { return rate.NewLimiter(f.every, f.burst) })
		if !limiter.AllowN(now, 1) {
			tooMany = true
		}
	}
	return tooMany
}

// spent reports whether another failure would be one too many, and counts none.
func (f *failures) spent(now time.Time, key string) bool {
	limiter, ok := f.byKey.Peek(key)
	return ok && limiter.TokensAt(now) < 1
}

// network is the key that failures from an address are counted under.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return "address unknown"
	}
	return "address " + netguard.Subscriber(a).String()
}

func rateLimited() error {
	return berth.Errorf(berth.CodeRateLimited, "Too many failed attempts").
		WithHint("wait some seconds, and check the token; one that is valid is never refused for this")
}
