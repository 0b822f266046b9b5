package store

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
)

// How often a deployment that is awaited is looked at: where news of its end come
// too, only for those that another control plane ended and whose ring was lost.
const (
	awaitPoll         = 200 * time.Millisecond
	awaitPollWithNews = 500 * time.Millisecond
)

// AwaitDeployment returns when a deployment is over, or with ctx's error. news may
// be nil; else it joins those who hear when a deployment of an organization may be
// over, until leave is called.
func AwaitDeployment(ctx context.Context, s Store, id string, news func(organizationID string) (heard <-chan struct{}, leave func())) error {
	poll := awaitPoll
	if news != nil {
		poll = awaitPollWithNews
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var heard <-chan struct{}
	for {
		d, err := deployment(ctx, s, id)
		if err != nil || d.Over() {
			return err
		}
		if news != nil && heard == nil {
			c, leave := news(d.OrganizationID)
			defer leave()
			heard = c
			continue // it may have ended before
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-heard:
		case <-tick.C:
		}
	}
}

func deployment(ctx context.Context, s Store, id string) (d berth.Deployment, err error) {
	err = s.View(ctx, berth.System(), func(tx Tx) error {
		d, err = tx.Deployment(ctx, id)
		return err
	})
	return d, err
}
