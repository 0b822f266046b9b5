package main

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
)

// shards is an engine made of fakes, one for each tenant, so that the fake's
// own cost stays out of a measurement: the fake looks through all that it holds
// at each call, a shard holds one tenant. What a shard showed last is kept
// until the shard is changed, so that a list copies slices and nothing else. A
// real engine costs its adapter the decoding of its answers, which is not in
// it.
type shards struct {
	at netip.AddrPort // answers for all containers

	mu      sync.Mutex
	byOrg   map[string]*shard
	numbers int
	applied int // stacks, since the last look
	lists   int // whole lists, since the last look
	looks   int // single looks, since the last look
	hints   chan string
}

type shard struct {
	*enginetest.Fake // nil for one that only shows what it held, until it is changed
	number           int
	seen             *berth.Observed // by a list; nil after a change
	looked           *berth.Observed // by a look at it alone, of one without a fake
}

const (
	shardImage = "app:1"
	shardPin   = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
)

func newShards(at netip.AddrPort) *shards {
	return &shards{at: at, byOrg: map[string]*shard{}, hints: make(chan string, 1024)}
}

// of returns a tenant's shard.
func (s *shards) of(org string) *shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.byOrg[org]
	if it == nil {
		s.numbers++
		it = &shard{number: s.numbers}
		s.byOrg[org] = it
	}
	if it.Fake == nil && it.looked == nil {
		it.Fake = enginetest.NewFake()
		it.SetImage(shardPin, enginetest.Program{})
		it.Tag(shardImage, shardPin)
	}
	return it
}

// lighten lets go of the fakes of what is held now, and keeps what they show: a
// fake is several times as large as what a control plane knows of its tenant.
func (s *shards) lighten(ctx context.Context) error {
	if _, err := s.List(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for org, it := range s.byOrg {
		if it.Fake == nil || it.seen.OrganizationID == "" {
			continue
		}
		o, err := it.Observe(ctx, org)
		if err != nil {
			return err
		}
		o = s.named(it, o)
		it.looked, it.Fake = &o, nil
	}
	return nil
}

// changing returns a tenant's shard with a fake, which is made anew from what is
// applied to it if it had been let go.
func (s *shards) changing(org string) *shard {
	it := s.of(org)
	s.mu.Lock()
	it.looked = nil
	s.mu.Unlock()
	return s.of(org)
}

// named gives what a shard shows ids that no other shard has, and the one
// address that answers.
func (s *shards) named(it *shard, o berth.Observed) berth.Observed {
	o.Instances = slices.Clone(o.Instances)
	for i := range o.Instances {
		c := &o.Instances[i]
		c.ID += "-" + strconv.Itoa(it.number)
		if c.Address.IsValid() {
			c.Address = s.at
		}
	}
	return o
}

func (s *shards) Info(ctx context.Context) (berth.EngineInfo, error) { return s.of("").Info(ctx) }

func (s *shards) Resolve(ctx context.Context, reference string, cred *berth.Credential, progress func(berth.Progress)) (string, error) {
	return s.of("").Resolve(ctx, reference, cred, progress)
}

func (s *shards) Observe(ctx context.Context, org string) (berth.Observed, error) {
	it := s.of(org)
	s.mu.Lock()
	s.looks++
	looked := it.looked
	s.mu.Unlock()
	if looked != nil {
		return *looked, nil
	}
	o, err := it.Observe(ctx, org)
	return s.named(it, o), err
}

// Inspect counts as a look.
func (s *shards) Inspect(ctx context.Context, listed berth.Observed) (berth.Observed, error) {
	return s.Observe(ctx, listed.OrganizationID)
}

func (s *shards) List(ctx context.Context) (berth.Inventory, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	inv := berth.Inventory{Tenants: make([]berth.Observed, 0, len(s.byOrg))}
	for _, it := range s.byOrg {
		if it.seen == nil {
			one, err := it.List(ctx)
			if err != nil {
				return inv, err
			}
			it.seen = &berth.Observed{}
			if len(one.Tenants) > 0 {
				*it.seen = s.named(it, one.Tenants[0])
			}
		}
		if it.seen.OrganizationID != "" {
			inv.Tenants = append(inv.Tenants, *it.seen)
		}
	}
	return inv, nil
}

func (s *shards) Apply(ctx context.Context, stack berth.Stack) (berth.Observed, error) {
	it := s.changing(stack.OrganizationID)
	defer s.changed(it, stack.OrganizationID)
	o, err := it.Apply(ctx, stack)
	return s.named(it, o), err
}

func (s *shards) Remove(ctx context.Context, r berth.Removal) error {
	it := s.changing(r.OrganizationID)
	defer s.changed(it, r.OrganizationID)
	return it.Remove(ctx, r)
}

// changed hints at a tenant, as an engine does after each change.
func (s *shards) changed(it *shard, org string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it.seen = nil
	s.applied++
	select {
	case s.hints <- org:
	default: // hints may be lost
	}
}

func (s *shards) Watch(ctx context.Context, hint func(berth.Hint)) error {
	for {
		select {
		case org := <-s.hints:
			hint(berth.Hint{OrganizationID: org})
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// calls returns how many stacks were applied, lists made and tenants looked at
// since the last call.
func (s *shards) calls() (applied, lists, looks int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	applied, lists, looks = s.applied, s.lists, s.looks
	s.applied, s.lists, s.looks = 0, 0, 0
	return applied, lists, looks
}
