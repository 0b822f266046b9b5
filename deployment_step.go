package berth

import "time"

// DeploymentStep is one thing that was done for a deployment.
type DeploymentStep struct {
	Name      string
	StartedAt time.Time
	EndedAt   time.Time // zero if its end was not seen
	Error     string    // one sentence; "" if it succeeded
}
