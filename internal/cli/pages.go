package cli

import (
	"encoding/json"
	"fmt"

	"github.com/unite-hub/berth/client"
)

// largestPage is how much the API gives at a time.
const largestPage = 1000

// joined is the API's answer with all pages in one: items under a name, as they came.
type joined struct {
	name  string
	items []json.RawMessage
	next  *string // cursor of what was not asked for
}

func (j joined) MarshalJSON() ([]byte, error) {
	items, err := json.Marshal(j.items)
	if err != nil {
		return nil, err
	}
	next, err := json.Marshal(j.next)
	return fmt.Appendf(nil, `{%q: %s, "nextCursor": %s}`, j.name, items, next), err
}

// everyPage asks for a list to its end.
func everyPage[T any](a *app, name string, ask func(cursor string) (page []T, next *string, err error)) (all []T, raw joined, err error) {
	raw = joined{name: name, items: []json.RawMessage{}}
	pages := client.Each(func(cursor string) ([]T, *string, error) {
		page, next, err := ask(cursor)
		if err != nil {
			return nil, nil, err
		}
		var answer map[string]json.RawMessage
		var items []json.RawMessage
		if err := json.Unmarshal(a.answer, &answer); err != nil {
			return nil, nil, fmt.Errorf("read answer: %w", err)
		}
		if err := json.Unmarshal(answer[name], &items); err != nil {
			return nil, nil, fmt.Errorf("read answer: %w", err)
		}
		raw.items = append(raw.items, items...)
		return page, next, nil
	})
	for one, err := range pages {
		if err != nil {
			return nil, joined{}, err
		}
		all = append(all, one)
	}
	return all, raw, nil
}

// upTo asks for a list until it has most items, or all, and says in next where it
// goes on.
func upTo[T any](a *app, most int, name string, ask func(cursor string, limit int) (page []T, next *string, err error)) (list []T, raw joined, err error) {
	if most < 1 {
		return nil, joined{}, usagef("--limit must be 1 or more; %d was given", most)
	}
	left := most
	var last *string
	list, raw, err = everyPage(a, name, func(cursor string) ([]T, *string, error) {
		page, next, err := ask(cursor, min(left, largestPage))
		last = next
		if left -= len(page); left <= 0 {
			next = nil // enough
		}
		return page, next, err
	})
	raw.next = last
	return list, raw, err
}
