package client

import "iter"

// Each goes through all of a list, a page at a time, in the list's order. ask
// returns the page at a cursor, which is empty for the first, and the cursor of the
// next, nil after the last. An error ends it.
func Each[T any](ask func(cursor string) (page []T, next *string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for next := new(string); next != nil; {
			page, following, err := ask(*next)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, one := range page {
				if !yield(one, nil) {
					return
				}
			}
			next = following
		}
	}
}
