package reconcile

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/unite-hub/berth"
)

// pull is one call that makes an image available. Looking whether it is there
// has a place in the lane of looks; getting it has one in the lane of pulls, as
// long as it gets on. A new order ends it: what it was for may not be wanted any
// more.
type pull struct {
	*pass
	reference string
	place     *place
	began     bool // the image was not there
	last      berth.Progress
	counted   int64     // bytes that had come when it last got on
	countedAt time.Time // when that was
	end       context.CancelFunc
	watch     *time.Timer
	stalled   atomic.Bool
}

// available makes an image available, and tells what it is pinned by and whether
// it had to be pulled for that.
func (p *pass) available(reference string, cred *berth.Credential) (pin string, pulled bool, err error) {
	place, err := p.lanes.look.acquire(p.soft, p.Tenant.OrganizationID, p.urgency())
	if err != nil {
		return "", false, err
	}
	ctx, cancel := context.WithTimeout(p.soft, p.PullDeadline)
	defer cancel()
	pu := &pull{pass: p, reference: reference, place: place, end: cancel}
	defer func() { pu.place.leave() }()
	pu.watch = time.AfterFunc(p.PullDeadline, func() {
		pu.stalled.Store(true)
		cancel()
	})
	defer pu.watch.Stop()
	pin, err = p.Engine.Resolve(ctx, reference, cred, pu.progress)
	if err == nil && pu.began {
		p.deployments.pause(p.Deployment)
	}
	if err != nil && pu.stalled.Load() && p.soft.Err() == nil {
		err = berth.Errorf(berth.CodeRegistryUnavailable, "The pull of %s does not get on: %w", reference, err).
			WithHint("check the connection to the registry; Berth tries again by itself").WithOp("pull image", p.Tenant.OrganizationID)
		if before := p.deployments.pullError(p.Deployment); before != nil {
			err = before // says more than that the last attempt was cut off
		}
	} else if err != nil && pu.began {
		p.deployments.update(p.Deployment, func(r *deploymentProgress) { r.pullError = err })
	}
	return pin, pu.began, err
}

// progress is called before the pull begins, and whenever it gets on.
func (pu *pull) progress(now berth.Progress) {
	switch {
	case !pu.began:
		pu.began = true
		pu.place.leave()
		place, err := pu.lanes.pull.acquire(pu.soft, pu.Tenant.OrganizationID, pu.urgency())
		if err != nil {
			pu.end() // before it begins
			return
		}
		pu.place = place
		pu.deployments.impatient(pu.Deployment)
		pu.countedAt = time.Now()
		pu.deployments.update(pu.Deployment, func(r *deploymentProgress) { r.gotOnAt = time.Now() }) // attempts before, and pauses, count
	case now == pu.last:
		return
	default:
		if !pu.getsOn(now) {
			break
		}
		pu.place.working()
		pu.deployments.gotOn(pu.Deployment, pu.PullDeadline)
	}
	pu.last = now
	pu.deployments.update(pu.Deployment, func(r *deploymentProgress) { r.progress = now })
	pu.watch.Reset(pu.patience())
}

// leastRate is how many bytes of an image have to come a second for its pull to
// count as getting on: a registry that trickles would hold a deployment for ever.
const leastRate = 16 << 10

// getsOn reports whether as much has come as should have since the pull last got
// on.
func (pu *pull) getsOn(now berth.Progress) bool {
	at := time.Now()
	if float64(now.Done-pu.counted) < leastRate*at.Sub(pu.countedAt).Seconds() {
		return false
	}
	pu.counted, pu.countedAt = now.Done, at
	return true
}

// patience is for how long the pull may not get on: it ends with the
// deployment's.
func (pu *pull) patience() time.Duration {
	left := pu.Loop.Patience
	if pu.Deployment != nil {
		left -= pu.deployments.recall(pu.Deployment).waited(pu.Loop.Observe)
	}
	return min(max(left, 0), pu.PullDeadline)
}
