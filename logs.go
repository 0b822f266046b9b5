package berth

import "time"

// LogOptions narrow what is shown of a tenant's logs.
type LogOptions struct {
	Follow bool
	Tail   int // lines from the end of each instance's log; 0 means 100, -1 all
	Since  time.Time
}
