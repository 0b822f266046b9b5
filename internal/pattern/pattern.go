// Package pattern makes regular expressions at their first use. Those of a whole
// program took most of the time in which a client's command starts, which uses none.
package pattern

import (
	"regexp"
	"sync"
)

// Of returns what gives the expression. It panics at the first use where the
// expression is wrong.
func Of(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
