package berth

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// DeploymentType says what an order changed. A start is recorded as a restart,
// as in the seed.
type DeploymentType string

const (
	DeployProvision   DeploymentType = "provision"
	DeployUpdate      DeploymentType = "update"
	DeployRestart     DeploymentType = "restart"
	DeployScale       DeploymentType = "scale"
	DeployRollback    DeploymentType = "rollback"
	DeployConfig      DeploymentType = "config"
	DeployStop        DeploymentType = "stop"
	DeployDeprovision DeploymentType = "deprovision"
)

// DeploymentStatus is how far a deployment has come.
type DeploymentStatus string

const (
	DeploymentPending    DeploymentStatus = "pending"    // recorded; the loop has not got there
	DeploymentCompleted  DeploymentStatus = "completed"  // what it asked for was seen
	DeploymentFailed     DeploymentStatus = "failed"     // Error says why
	DeploymentSuperseded DeploymentStatus = "superseded" // a stop or a deprovision came before it was over
)

// Deployment is one change of generation and its outcome. Once over it is
// never rewritten.
type Deployment struct {
	ID             string
	TenantID       string // of the tenant's record
	OrganizationID string
	Type           DeploymentType
	Status         DeploymentStatus
	Generation     int // that it leads to

	Previous *Spec // nil for the first
	New      Spec  // ImageDigest is what really ran, once that was seen
	Want     Want  // what the tenant is to be afterwards

	// PreviousName is what the tenant was called; "" where nobody wrote it down.
	PreviousName string
	// PreviousWant is what the tenant was to be before, so that a failed
	// deployment can leave it as it was. Empty for the first.
	PreviousWant Want

	CanRollback bool   // whether a rollback can lead back to it
	RollbackOf  string // the deployment that a rollback restores; "" otherwise
	Volumes     VolumePolicy
	Adopt       bool   // whether containers that compose made of the rendered file may be replaced
	Error       string // one sentence; "" unless failed or superseded
	By          string // actor id
	Notes       string
	Steps       []DeploymentStep // in the order in which they were taken

	CreatedAt   time.Time
	StartedAt   time.Time // when the loop took it up; zero before
	CompletedAt time.Time // zero until it is over
}

// MaxNotes bounds a deployment's notes, in characters (code points).
const MaxNotes = 1000

// ValidateNotes checks what is kept with a deployment for people to read.
func ValidateNotes(notes string) error {
	if n := utf8.RuneCountInString(notes); n > MaxNotes {
		return Errorf(CodeInvalidRequest, "Notes must be at most %d characters", MaxNotes).WithField("deploymentNotes").
			WithHint("the notes given have %d; link to what is longer", n)
	}
	if !utf8.ValidString(notes) || strings.ContainsRune(notes, 0) {
		return Errorf(CodeInvalidRequest, "Notes must be text in UTF-8 without NUL").WithField("deploymentNotes").
			WithHint("%s was given", Quote(notes))
	}
	return nil
}

// Over reports whether d has reached its outcome.
func (d Deployment) Over() bool { return d.Status != DeploymentPending }

// Reverts reports whether the tenant goes back to the previous spec when d
// fails: a change of what runs does, because the tenant ran before and must
// afterwards. The others have nothing to go back to.
func (d Deployment) Reverts() bool {
	switch d.Type {
	case DeployUpdate, DeployRollback, DeployConfig, DeployScale:
		return d.Previous != nil
	default:
		return false
	}
}

// TakeBack gives a tenant back what it was before d, as far as d changed what the
// tenant runs and is called.
func (d Deployment) TakeBack(t *Tenant) {
	if d.Previous == nil {
		return
	}
	if !d.Reverts() {
		t.Spec.Release = d.Previous.Release // what runs once does not run again
		return
	}
	t.Spec = *d.Previous
	if d.PreviousName != "" {
		t.Name = d.PreviousName
	}
}

// Cancelled reports whether somebody took d back before it was over.
func (d Deployment) Cancelled() bool {
	return d.Status == DeploymentSuperseded && strings.HasPrefix(d.Error, cancelledBy)
}

// Cancel ends d, which somebody takes back.
func (d *Deployment) Cancel(by string, now time.Time) {
	d.Status, d.Error, d.CompletedAt, d.CanRollback = DeploymentSuperseded, cancelledBy+by, now, false
}

const cancelledBy = "cancelled by "

// EnvironmentChanged names the variables that d set, changed or removed,
// sorted.
func (d Deployment) EnvironmentChanged() []string {
	before := map[string]string{}
	if d.Previous != nil {
		before = d.Previous.Environment
	}
	changed := []string{}
	for name, version := range d.New.Environment {
		if before[name] != version {
			changed = append(changed, name)
		}
	}
	for name := range before {
		if _, kept := d.New.Environment[name]; !kept {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return changed
}

// Makes reports whether d may need instances that are not there yet, and with
// them its images.
func (d Deployment) Makes() bool {
	switch d.Type {
	case DeployProvision, DeployUpdate, DeployRollback, DeployConfig:
		return true
	default:
		return false
	}
}

// VolumePolicy says what a deprovisioning does with a tenant's volumes.
type VolumePolicy string

const (
	VolumesKeep   VolumePolicy = "keep"
	VolumesDelete VolumePolicy = "delete"
)

// VolumeRecord is a volume that Berth made for an organization. It outlives
// the tenant: a volume goes only on an explicit order.
type VolumeRecord struct {
	OrganizationID string
	Name           string // in the engine
	Mount          string // path inside its instances
	EngineID       string
	CreatedAt      time.Time // when it was first seen to exist; zero before: recorded ahead of being made
	KeptAt         time.Time // when its tenant was deprovisioned without it; zero while in use
	DeletedAt      time.Time // zero until it is gone by order
}

// RollbackTarget picks the deployment to return to: the one named, or the last
// good one before the present one. history is newest first. Repeating a
// rollback goes one further back: a rollback to D counts as being at D.
func RollbackTarget(history []Deployment, id string) (Deployment, error) {
	if id != "" {
		for _, d := range history {
			if d.ID == id {
				return checkRollbackTarget(d)
			}
		}
		return Deployment{}, Errorf(CodeDeploymentNotFound, "Deployment not found").WithField("deploymentId").
			WithHint("choose one from the tenant's deployments: older ones than --keep-deployments of berth serve keeps were dropped; %s was given", Quote(id))
	}
	_, _, target := wayBack(history)
	if target < 0 {
		return Deployment{}, Errorf(CodeNothingToRollBack, "No earlier good deployment to roll back to").
			WithHint("deploy the version you want instead")
	}
	return checkRollbackTarget(history[target])
}

// wayBack returns the places in history, newest first, of the good deployment that is
// in force, of the newest one before it that left something else running, and of the
// one that this brought back, itself if it was no rollback; -1 for none.
func wayBack(history []Deployment) (present, before, target int) {
	good := map[string]int{} // id to its place in history
	present = -1
	for i, d := range history {
		if d.Status != DeploymentCompleted || !d.CanRollback {
			continue
		}
		good[d.ID] = i
		if present < 0 {
			present = i
		}
	}
	if present < 0 {
		return -1, -1, -1
	}
	at, ok := followRollbacks(history, good, history[present].ID)
	if !ok {
		return present, -1, -1
	}
	for i, d := range history[at+1:] {
		if to, isGood := followRollbacks(history, good, d.ID); isGood && !sameRelease(history[to].New, history[at].New) {
			return present, at + 1 + i, to
		}
	}
	return present, -1, -1
}

// RollbackNeeds returns the ids in a tenant's history, newest first, by which
// RollbackTarget finds its way without an id. Whatever else is dropped, the same
// rollback is possible.
func RollbackNeeds(history []Deployment) (ids []string) {
	byID := map[string]Deployment{}
	for _, d := range history {
		byID[d.ID] = d
	}
	present, before, _ := wayBack(history)
	for _, i := range []int{present, before} {
		if i < 0 {
			continue
		}
		for d, ok := history[i], true; ok && !slices.Contains(ids, d.ID); d, ok = byID[d.RollbackOf] {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

// followRollbacks follows rollbacks from a good deployment to the one that they
// brought back, and returns its index in history.
func followRollbacks(history []Deployment, good map[string]int, id string) (index int, ok bool) {
	index, ok = good[id]
	for ok && history[index].RollbackOf != "" {
		index, ok = good[history[index].RollbackOf]
	}
	return index, ok
}

func checkRollbackTarget(d Deployment) (Deployment, error) {
	if d.Status != DeploymentCompleted || !d.CanRollback || d.New.ImageDigest == "" {
		return Deployment{}, Errorf(CodeNothingToRollBack, "Deployment %s can't be rolled back to", d.ID).WithField("deploymentId").
			WithHint("its status is %s; choose a completed one whose canRollback is true", d.Status)
	}
	return d, nil
}

// sameRelease reports whether two specs run the same thing, so that going from
// one to the other would change nothing.
func sameRelease(a, b Spec) bool {
	if a.ImageDigest != b.ImageDigest || a.Blueprint != b.Blueprint || a.Limits != b.Limits ||
		a.Replicas != b.Replicas || !maps.Equal(a.Images, b.Images) || len(a.Environment) != len(b.Environment) {
		return false
	}
	for name, version := range a.Environment {
		if b.Environment[name] != version {
			return false
		}
	}
	return true
}
