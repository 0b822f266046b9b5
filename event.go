package berth

import "time"

// Kinds of events.
const (
	EventDeploymentFailed = "deployment_failed"
	EventUnhealthy        = "unhealthy"
	EventRecovered        = "recovered"
	EventOOM              = "oom"  // a container was killed for memory
	EventDisk             = "disk" // a tenant or the host runs out of space
	EventGaveUp           = "gave_up"
	EventDrift            = "drift"
	EventForeign          = "foreign"
	EventEngine           = "engine"
	EventPort             = "port"
)

// NotifiedKinds are the kinds that a channel gets which asks for none.
func NotifiedKinds() []string {
	return []string{EventDeploymentFailed, EventUnhealthy, EventRecovered, EventOOM, EventDisk, EventGaveUp}
}

// EventKinds are all kinds that a channel can ask for.
func EventKinds() []string {
	return append(NotifiedKinds(), EventDrift, EventForeign, EventEngine, EventPort)
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
