// Package move brings everything of one installation from one store to another
// and compares both before anything of it counts.
package move

import (
	"context"
	"slices"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Moved is how many rows of a table are the same on both sides.
type Moved struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// Run fills to with all that from has. Whatever it ends with but nil, nothing
// is there, CodeOutcomeUnknown apart. Memory does not grow with what is moved.
func Run(ctx context.Context, from store.Origin, to store.Destination) (list []Moved, err error) {
	err = from.Rows(ctx, func(origin store.Rows) error {
		return to.Fill(ctx, func(filling store.Filling) error {
			list, err = fill(ctx, origin, filling)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// fill copies every table first and compares then, so that what a later table
// does to an earlier one is seen too.
func fill(ctx context.Context, origin store.Rows, filling store.Filling) ([]Moved, error) {
	tables := store.Tables()
	read := make([]*sum, len(tables))
	for i, t := range tables {
		read[i] = newSum(t)
		err := filling.Put(ctx, t, func(yield func(store.Row) error) error {
			return origin.Each(ctx, t, func(r store.Row) error {
				read[i].add(r)
				return yield(r)
			})
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]Moved, 0, len(tables))
	for i, t := range tables {
		written := newSum(t)
		if err := filling.Each(ctx, t, written.row); err != nil {
			return nil, err
		}
		if *written.total != *read[i].total {
			return nil, differs(ctx, t, side{origin, read[i]}, side{filling, written})
		}
		list = append(list, Moved{t.Name, written.rows()})
	}
	return list, nil
}

// side is what one of the two databases holds, and the sum of a table there.
type side struct {
	store.Rows
	sum *sum
}

// differs reads the rows of one part that differs once more, to name the first
// of them.
func differs(ctx context.Context, t store.Table, origin, filling side) error {
	part := 0
	for origin.sum.total[part] == filling.sum.total[part] {
		part++
	}
	collect := func(from side) (map[string]digest, error) {
		found := map[string]digest{}
		s := newSum(t)
		err := from.Each(ctx, t, func(r store.Row) error {
			if s.part(r) == part {
				found[t.KeyOf(r)] = s.digest(r)
			}
			return nil
		})
		return found, err
	}
	want, err := collect(origin)
	if err != nil {
		return err
	}
	got, err := collect(filling)
	if err != nil {
		return err
	}
	var keys []string
	for key, d := range want {
		if got[key] != d {
			keys = append(keys, key)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			keys = append(keys, key)
		}
	}
	return berth.Errorf(berth.CodeStorageUnavailable, "Table %s is not the same in both databases: %d rows became %d; row %s differs",
		t.Name, origin.sum.rows(), filling.sum.rows(), berth.Quote(slices.Min(append(keys, "\U0010FFFF")))).
		WithOp("compare", "").WithHint("nothing was moved. Look for triggers of others on that table; without any, this is a fault of Berth, please report it")
}
