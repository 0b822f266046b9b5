package enginetest

import (
	"fmt"
	"net/netip"

	"github.com/unite-hub/berth"
)

// conflictEvery is how many changes go well before one meets a conflict.
const conflictEvery = 9

// controllers are the fake's second personality: an engine with controllers of
// its own, as Kubernetes has. What should run and does not is replaced by them,
// under another id and at another address. late adds that a look may still show
// what was there before a change, but for a removal that is over, and that a change
// may meet a conflict, because someone else changed the object meanwhile.
type controllers struct {
	late    bool
	changes int
	shown   map[string]string         // what the last look at an organization found
	seen    map[string]berth.Observed // the same, as it is told once more
}

// SetWillful gives the engine controllers of its own.
func (f *Fake) SetWillful(late bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own = &controllers{late: late, shown: map[string]string{}, seen: map[string]berth.Observed{}}
}

// conflict is why a change is not made. The lock is held.
func (f *Fake) conflict(s Step) error {
	if f.own == nil || !f.own.late || s.Read {
		return nil
	}
	if f.own.changes++; f.own.changes%conflictEvery != 0 {
		return nil
	}
	return berth.Errorf(berth.CodeEngineUnavailable, "The object was changed meanwhile").WithHint("it is safe to repeat")
}

// show is what a look finds: once more what was there before, if that changed,
// and then there is a hint as soon as the truth can be seen. The lock is held.
func (f *Fake) show(o berth.Observed) berth.Observed {
	if f.own == nil || !f.own.late {
		return o
	}
	org, now := o.OrganizationID, fmt.Sprint(o)
	before, known := f.own.seen[org]
	changed := known && f.own.shown[org] != now
	f.own.shown[org], f.own.seen[org] = now, o
	if !changed {
		return o
	}
	f.hint(fakeObject{labels: map[string]string{berth.LabelTenantID: org}})
	return before
}

// seenGone ends what a look may still show of a tenant: its removal has looked, and
// nothing of that was there any more. The lock is held.
func (f *Fake) seenGone(org string) {
	if f.own != nil {
		delete(f.own.shown, org)
		delete(f.own.seen, org)
	}
}

// Truth is what there is of a tenant, however late the engine shows it.
func (f *Fake) Truth(organizationID string) berth.Observed {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.observed(organizationID)
}

// replace puts another container in the place of one that should run and does
// not. The lock is held.
func (f *Fake) replace(c *fakeContainer) {
	if f.own == nil || !c.keep || !f.ours(kindContainer, c.fakeObject) {
		return
	}
	delete(f.containers, c.id)
	again := *c
	again.id, again.state, again.restarts = f.nextID(kindContainer), berth.InstanceCreated, 0
	again.exit, again.oom, again.network, again.address, again.port = 0, false, "", netip.Addr{}, 0
	again.besides, again.pids = nil, again.service.PidsLimit
	f.containers[again.id] = &again
	if err := f.start(&again, again.labels[berth.LabelTenantID]); err == nil {
		f.readdress(&again)
	}
}

// readdress moves a container to the highest free address of its network. The
// lock is held.
func (f *Fake) readdress(c *fakeContainer) {
	n := f.networks[c.network]
	if n == nil || !c.address.IsValid() {
		return
	}
	taken := map[netip.Addr]bool{}
	for _, other := range f.containers {
		taken[other.address] = other.network == n.id
	}
	for a := c.address.Next(); n.subnet.Contains(a.Next()); a = a.Next() {
		if !taken[a] {
			c.address = a
		}
	}
}
