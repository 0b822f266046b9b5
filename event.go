package berth

import "time"

// EventKind says what happened to a tenant outside an order.
type EventKind = string

const (
	EventDrift            EventKind = "drift"             // found changed by other means, and repaired
	EventForeign          EventKind = "foreign"           // an object that stands in the way and is not ours
	EventEngine           EventKind = "engine"            // something the engine made necessary
	EventPort             EventKind = "port"              // the external port is someone else's
	EventDeploymentFailed EventKind = "deployment_failed" // and was taken back where it could be
	EventUnhealthy        EventKind = "unhealthy"         // it was well, and is not
	EventRecovered        EventKind = "recovered"         // it was not well, and is again
	EventOOM              EventKind = "oom"               // the kernel killed a process for want of memory
	EventDisk             EventKind = "disk"              // it holds more than its limit, or nearly
	EventGaveUp           EventKind = "gave_up"           // it crashed too often to be started again
)

// Event is something that happened to a tenant outside an order.
type Event struct {
	ID             string
	OrganizationID string
	At             time.Time
	Kind           EventKind
	Message        string
}
