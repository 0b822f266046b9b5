package store

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
)

const (
	batchHold  = 50 * time.Millisecond // after which a transaction of a batch takes no more; 100 with what is under way and the commit
	batchPiece = 50                    // rows that are put at a time
)

// Forget drops what is old, as the system, in transactions that each hold the writer
// for a short time only, so that orders get in between. drop drops up to limit rows
// and returns how many; it is over once that are fewer. What is cut off anywhere goes
// on there the next time.
func Forget(ctx context.Context, s Store, drop func(tx Tx, limit int) (int, error)) error {
	for more := true; more; {
		err := s.InTx(ctx, berth.System(), func(tx Tx) error {
			for began := time.Now(); time.Since(began) < batchHold; {
				n, err := drop(tx, batchPiece)
				if err != nil {
					return err
				}
				if more = n >= batchPiece; !more {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// InBatches writes many rows that do not depend on each other, as the system,
// in transactions that each hold the writer for a short time only, so that
// orders get in between. put writes a part of the list. written is how many
// stand when it ends, from the first on; with an error, those behind do not.
func InBatches[T any](ctx context.Context, s Store, list []T, put func(tx Tx, part []T) error) (written int, err error) {
	for written < len(list) {
		end := written
		err := s.InTx(ctx, berth.System(), func(tx Tx) error {
			end = written // a transaction that is run again begins anew
			for began := time.Now(); end < len(list) && time.Since(began) < batchHold; {
				part := list[end:min(end+batchPiece, len(list))]
				if err := put(tx, part); err != nil {
					return err
				}
				end += len(part)
			}
			return nil
		})
		if err != nil {
			return written, err
		}
		written = end
	}
	return written, nil
}
