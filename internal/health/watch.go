package health

import (
	"context"
	"hash/fnv"
	"time"

	"github.com/unite-hub/berth"
)

// watch is one start of one instance under the monitor's eyes. There is one of each
// instance of the fleet, so it holds little.
type watch struct {
	member *berth.Member
	series Series
	due    time.Duration      // since the monitor's epoch
	cancel context.CancelFunc // of its probe; nil while there is none
	index  int                // in the plan; -1 outside
	round  int                // of the monitor, in which it was last seen
	slot   uint8              // of its interval, in which it is probed
	lane   uint8              // 1 if it did not answer in time
	gone   bool
}

func newWatch(member *berth.Member) *watch {
	h := fnv.New64a()
	_, _ = h.Write([]byte(member.OrganizationID + "\x00" + member.InstanceID)) // never fails
	now := time.Now()
	started := now.Add(-now.Round(0).Sub(member.StartedAt)) // by the monotonic clock
	return &watch{member: member, series: *NewSeries(*member.Check, started), slot: uint8(mixed(h.Sum64()) % slots), index: -1}
}

// mixed spreads the hash's differences over all bits: FNV leaves those of
// names that differ at their end in the lower ones.
func mixed(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (w *watch) sameStart(member *berth.Member) bool {
	return w.member.StartedAt.Equal(member.StartedAt)
}

// update takes what may change while an instance runs: its address and its
// check. What was judged stands.
func (w *watch) update(member *berth.Member, round int) {
	w.member, w.round = member, round
	w.series.follow(*member.Check)
}

// askable reports whether a probe would mean anything now: during a deployment
// the loop asks for itself.
func (w *watch) askable() bool {
	return w.member.Steady && (w.member.Check.Kind == berth.ProbeEngine || w.member.Address.IsValid())
}

// slots is how many there are in an interval. Probes that go out together
// cost less than as many that each wake the machine.
const slots = 64

// next is the instance's next turn after a time: always the same slot of its
// interval, whatever the probe before took.
func (w *watch) next(now time.Duration) time.Duration {
	every := w.member.Check.Interval
	if every <= 0 {
		every = DefaultInterval
	}
	at := every/slots*time.Duration(w.slot) + every/slots/2
	if now < at {
		return at
	}
	return at + ((now-at)/every+1)*every
}

// plan is a heap of instances by their next turn.
type plan []*watch

// Len implements heap.Interface.
func (p plan) Len() int { return len(p) }

// Less implements heap.Interface.
func (p plan) Less(i, j int) bool { return p[i].due < p[j].due }

// Swap implements heap.Interface.
func (p plan) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].index, p[j].index = i, j
}

// Push implements heap.Interface.
func (p *plan) Push(x any) {
	w := x.(*watch)
	w.index = len(*p)
	*p = append(*p, w)
}

// Pop implements heap.Interface.
func (p *plan) Pop() any {
	last := len(*p) - 1
	w := (*p)[last]
	(*p)[last] = nil
	*p = (*p)[:last]
	w.index = -1
	return w
}
