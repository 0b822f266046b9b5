package postgres

import (
	"context"
	"errors"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/supabase"
)

// Look returns the version that the schema of a database has, 0 if there is
// none, and the one that Open brings it to. It changes nothing.
func Look(ctx context.Context, o Options) (have, latest int64, err error) {
	up, err := load(supabase.Migrations, "migrations")
	if err != nil {
		return 0, 0, fault(ctx, err, "read schema")
	}
	s, err := dial(ctx, o)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	have, err = s.Version(ctx)
	return have, up[len(up)-1].version, err
}

// Down takes the schema back to an earlier version, 0 for none of Berth's. What
// the files above it keep is lost.
func Down(ctx context.Context, o Options, to int64) (err error) {
	s, err := dial(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	have, err := s.Version(ctx)
	if err != nil {
		return err
	}
	if to < 0 || to >= have {
		return berth.Errorf(berth.CodeInvalidRequest, "The schema is version %d: there is no way down to %d", have, to).
			WithHint("give an earlier version; 0 takes everything of Berth's away")
	}
	return s.MigrateDown(ctx, to)
}
