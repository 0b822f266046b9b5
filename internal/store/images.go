package store

import (
	"context"

	"github.com/unite-hub/berth"
)

// Images are those that Berth had an engine pull. Others are nobody's to
// collect.
type Images interface {
	// PutImage inserts or replaces by engine and pin.
	PutImage(ctx context.Context, i berth.PulledImage) error
	// ListImages returns those of an engine, oldest first.
	ListImages(ctx context.Context, engineID string) ([]berth.PulledImage, error)
	DeleteImage(ctx context.Context, engineID, pin string) error
}
