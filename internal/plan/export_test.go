package plan

import "github.com/unite-hub/berth"

// Difference says in words how what is seen differs from the stack, "" if it
// does not.
func Difference(stack berth.Stack, seen berth.Observed) string {
	t := newTransition(stack, Situation{Seen: seen})
	if reason := t.missing(); reason != "" {
		return reason
	}
	return t.surplus()
}
