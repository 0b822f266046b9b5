package store

import (
	"context"
	"time"
)

// ForeignObject is one that an engine holds, that is not ours, and that was told
// of. The row stays when the object goes: it is told of once.
type ForeignObject struct {
	EngineID string
	Kind     string // as in berth.Foreign; "stack" for what is quarantined, "installation" for all that another one has
	ID       string // the engine's; the name of what has none
	FoundAt  time.Time
}

// ForeignObjects are the installation's.
type ForeignObjects interface {
	// InsertForeign reports whether the object was not known before. System only.
	InsertForeign(ctx context.Context, o ForeignObject) (first bool, err error)
}
