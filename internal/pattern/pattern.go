// Package pattern makes regular expressions at their first use: a client's command
// uses none, and they cost a megabyte to make.
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
