package berth

import (
	"regexp"
	"sync"
)

// pattern makes a regular expression at its first use: a client's command starts
// without any.
func pattern(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
