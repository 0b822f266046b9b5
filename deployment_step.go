package berth

import "time"

// DeploymentStep is one part of a deployment's way, as it was taken.
type DeploymentStep struct {
	Name      string
	StartedAt time.Time
	EndedAt   time.Time
	Error     string // why it failed; "" if it did not
}

// maxSteps bounds what is kept of one deployment.
const maxSteps = 100

// AddStep returns steps with one more. One that repeats the last goes on with
// it.
func AddStep(steps []DeploymentStep, next DeploymentStep) []DeploymentStep {
	if n := len(steps); n > 0 && steps[n-1].Name == next.Name {
		steps[n-1].EndedAt, steps[n-1].Error = next.EndedAt, next.Error
		return steps
	}
	if len(steps) >= maxSteps {
		return steps
	}
	return append(steps, next)
}
