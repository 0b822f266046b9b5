package serve

import (
	"strconv"

	"github.com/unite-hub/berth/internal/api"
)

// RateLimits are how many requests a second one token, or one person, may make
// in the long run. 0: as many as they like.
type RateLimits struct {
	Requests int // of any kind; twice as many at once
	Changes  int // of those, what changes something; five times as many at once
	Operator int // of operators, of any kind; twice as many at once
}

// DefaultRateLimits are generous: a dashboard and a few programs stay far below.
func DefaultRateLimits() RateLimits { return RateLimits{Requests: 50, Changes: 10, Operator: 1000} }

func (r RateLimits) parse() (api.Limits, error) {
	for flag, n := range map[string]int{"rate-limit": r.Requests, "rate-limit-changes": r.Changes, "rate-limit-operator": r.Operator} {
		if n < 0 || n > 1_000_000 {
			return api.Limits{}, invalid(flag, strconv.Itoa(n), "must be 0 to 1,000,000 requests a second", "0 is no limit")
		}
	}
	limit := func(n, burst int) api.Limit { return api.Limit{PerSecond: float64(n), Burst: n * burst} }
	return api.Limits{
		Requests: limit(r.Requests, 2), Changes: limit(r.Changes, 5),
		OperatorRequests: limit(r.Operator, 2), OperatorChanges: limit(r.Operator, 2),
	}, nil
}
