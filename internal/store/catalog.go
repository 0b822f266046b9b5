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

// Known returns the blueprint name@version if it was read before: for who has no
// transaction, and needs none.
func (c *Catalog[B]) Known(id string) (b B, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok = c.byID[id]
	return b, ok
}

// Get returns the blueprint name@version.
func (c *Catalog[B]) Get(ctx context.Context, tx Blueprints, id string) (B, error) {
	if b, ok := c.Known(id); ok {
		return b, nil
	}
	var b B
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
	if b, ok := c.Known(v.ID()); ok {
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
