package api

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/time/rate"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/lru"
)

// Limits are how often one token, or one person, may ask. Zero: as often as
// they like.
type Limits struct {
	Requests         Limit // of any kind, of an organization's own
	Changes          Limit // of those, what changes something
	OperatorRequests Limit // the same, of operators
	OperatorChanges  Limit
}

// Limit is so many a second in the long run, and so many at once.
type Limit struct {
	PerSecond float64 // 0: no limit
	Burst     int
}

// mostAskers bounds memory: who asked longest ago is forgotten first, which
// gives them a whole burst again.
const mostAskers = 10_000

// limits counts the requests of each actor.
type limits struct {
	Limits
	askers *lru.Map[askerKey, asker]
}

type asker struct{ requests, changes *rate.Limiter } // nil: no limit

type askerKey struct {
	id       string
	operator bool
}

func newLimits(l Limits) *limits {
	return &limits{Limits: l, askers: lru.New[askerKey, asker](mostAskers)}
}

// of are an actor's limits. An operator's are kept apart, so that they go with the role.
func (l *limits) of(actor berth.Actor) asker {
	key := askerKey{actor.ID, actor.Role == berth.RoleOperator}
	return l.askers.Use(key, func() asker {
		if key.operator {
			return asker{l.OperatorRequests.limiter(), l.OperatorChanges.limiter()}
		}
		return asker{l.Requests.limiter(), l.Changes.limiter()}
	})
}

func (l Limit) limiter() *rate.Limiter {
	if l.PerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(l.PerSecond), max(l.Burst, 1))
}

// take counts a request and says in the answer's head how many are left. It
// refuses one too many.
func (l *limits) take(hctx huma.Context, actor berth.Actor) error {
	a, now := l.of(actor), time.Now()
	limiters := []*rate.Limiter{a.requests}
	if changes(hctx.Method()) {
		limiters = append(limiters, a.changes)
	}
	for _, lim := range limiters {
		if lim == nil {
			continue
		}
		ok := lim.AllowN(now, 1)
		left := lim.TokensAt(now)
		hctx.SetHeader("RateLimit-Limit", strconv.Itoa(lim.Burst()))
		hctx.SetHeader("RateLimit-Remaining", strconv.Itoa(int(max(left, 0))))
		hctx.SetHeader("RateLimit-Reset", seconds((float64(lim.Burst())-left)/float64(lim.Limit())))
		if !ok {
			return tooOften(seconds((1 - left) / float64(lim.Limit())))
		}
	}
	return nil
}

// seconds rounds up to whole ones, of which there is at least one.
func seconds(s float64) string { return strconv.Itoa(max(int(math.Ceil(s)), 1)) }

func tooOften(after string) error {
	p := problemOf(http.StatusTooManyRequests, string(berth.CodeRateLimited), "Too many requests").
		hinted("ask again in %s s, as Retry-After says; RateLimit-Remaining tells how many are left", after)
	p.retryAfter = after
	return p
}
