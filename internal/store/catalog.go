package store

import (
	"context"
	"sync"

	"github.com/unite-hub/berth"
)

// Catalog reads blueprints and keeps them: a version never changes, so each is
// read once. B is what its user sees in a blueprint. It may be used
// concurrently.
type Catalog[B any] struct {
	read func(berth.BlueprintVersion) (B, error)

	mu   sync.Mutex
	byID map[string]B
}

// NewCatalog returns a Catalog that makes blueprints with read.
func NewCatalog[B any](read func(berth.BlueprintVersion) (B, error)) *Catalog[B] {
	return &Catalog[B]{read: read, byID: make(map[string]B)}
}

// Get returns the blueprint name@version.
func (c *Catalog[B]) Get(ctx context.Context, tx Blueprints, id string) (B, error) {
	c.mu.Lock()
	b, ok := c.byID[id]
	c.mu.Unlock()
	if ok {
		return b, nil
	}
	name, version, err := berth.ParseBlueprintID(id)
	if err != nil {
		return b, err
	}
	v, err := tx.Blueprint(ctx, name, version)
	if err != nil {
		return b, err
	}
	return c.Read(v)
}

// Read returns the blueprint that v describes.
func (c *Catalog[B]) Read(v berth.BlueprintVersion) (B, error) {
	c.mu.Lock()
	b, ok := c.byID[v.ID()]
	c.mu.Unlock()
	if ok {
		return b, nil
	}
	b, err := c.read(v)
	if err != nil {
		return b, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID[v.ID()] = b
	return b, nil
}
