package cli

// upTo asks for a list until it has most items, or all. raw is the API's answer
// with the pages in one, under name.
func upTo[T any](a *app, most int, name string, ask func(cursor string, limit int) (page []T, next *string, err error)) (list []T, raw map[string]any, err error) {
	const largest = 1000
	if most < 1 {
		return nil, nil, usagef("--limit must be 1 or more; %d was given", most)
	}
	left := most
	list, raw, err = everyPage(a, name, func(cursor string) ([]T, *string, error) {
		page, next, err := ask(cursor, min(left, largest))
		if left -= len(page); left <= 0 {
			next = nil // enough
		}
		return page, next, err
	})
	delete(raw, "nextCursor") // it would say that there is no more
	return list, raw, err
}
