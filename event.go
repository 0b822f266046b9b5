package berth

import "time"

// Kinds of events.
const (
	EventDrift            = "drift"             // found changed by other means, and repaired
	EventForeign          = "foreign"           // an object that stands in the way and is not ours
	EventEngine           = "engine"            // it moved to another subnet, or can't be seen though the engine answers
	EventPort             = "port"              // the external port is someone else's
	EventDeploymentFailed = "deployment_failed" // and was taken back where it could be
	EventUnhealthy        = "unhealthy"         // it was well, and is not
	EventRecovered        = "recovered"         // it was not well, and is again
	EventOOM              = "oom"               // the kernel killed a process for want of memory
	EventDisk             = "disk"              // it holds more than its limit, or nearly
	EventCrashed          = "crashed"           // an instance ended by itself that should run
	EventGaveUp           = "gave_up"           // it crashed too often to be started again
	EventChanged          = "changed"           // by a client of the database, not through Berth
)

// NotifiedKinds are the kinds that a channel gets which asks for none.
func NotifiedKinds() []string {
	return []string{EventDeploymentFailed, EventUnhealthy, EventRecovered, EventOOM, EventDisk, EventCrashed, EventGaveUp}
}

// EventKinds are all kinds that a channel can ask for.
func EventKinds() []string {
	return append(NotifiedKinds(), EventDrift, EventForeign, EventEngine, EventPort, EventChanged)
}

// Event is something that happened to a tenant outside an order, or how an
// order ended that nobody may be waiting for.
type Event struct {
	ID             string
	OrganizationID string // "" for what concerns no tenant
	At             time.Time
	Kind           string
	Message        string
	DeploymentID   string // "" if it came of none
}
