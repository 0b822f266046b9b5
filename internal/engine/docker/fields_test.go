package docker_test

import (
	"reflect"
	"testing"

	"github.com/unite-hub/berth"
)

// How a difference in a field of what was specified is noticed.
const (
	fixed   = "the Engine fixes it for a container's life, and the hash under the seal covers it"
	limits  = "compared as a limit in force, and changed on the living container"
	changed = "anyone can change it on a living container: compared with the label of what was made"
	plan    = "the loop's own: no container is made from it"
)

// TestEverythingThatIsSpecifiedIsCompared holds the table complete: a new field
// needs a row, and so somebody's thought.
func TestEverythingThatIsSpecifiedIsCompared(t *testing.T) {
	for _, table := range []struct {
		of   any
		rows map[string]string
	}{
		{berth.Service{}, map[string]string{
			"Name": fixed, "Main": fixed, "Image": fixed, "Reference": plan, "Replicas": "counted: what is missing is made, what is too much goes",
			"Port": fixed, "User": fixed, "Environment": fixed, "Limits": limits, "PidsLimit": changed,
			"Mounts": fixed, "Tmpfs": fixed, "Health": plan, "Labels": fixed, "StopGrace": fixed,
			"Command": fixed, "Entrypoint": fixed, "WorkingDir": fixed, "StopSignal": fixed, "Aliases": changed, "Capabilities": fixed,
			"HealthProbe": fixed, "NoHealth": fixed, "ShmMB": fixed, "Secrets": fixed + "; their volume is checked before each delivery",
			"Release": fixed, "DependsOn": plan, "Once": changed, "Done": plan, "Deferred": plan, "NameLeadsTo": changed, "hash": "noted, the sum of what is fixed",
		}},
		{berth.Stack{}, map[string]string{
			"OrganizationID": fixed, "Name": plan, "Generation": "what is of another one is told apart by its hash", "Project": fixed,
			"Run": "compared as the state of each container", "Subnet": "compared with the network's; one with another stays while it is used",
			"Network": changed, "Services": "see the table of a service", "Volumes": "see the table of a volume", "Others": "looked for by service, hash and replica; what else is there goes",
		}},
		{berth.Volume{}, map[string]string{
			"Name": "looked for by name and seal", "Key": fixed, "Shared": "of an exclusive one the holder is looked for", "Recorded": "a recorded one that is missing stops everything",
		}},
		{berth.Mount{}, map[string]string{"Volume": fixed, "Target": fixed, "ReadOnly": fixed}},
		{berth.Tmpfs{}, map[string]string{"Target": fixed, "SizeMB": fixed}},
		{berth.Limits{}, map[string]string{"CPU": limits, "MemoryMB": limits, "DiskMB": "measured, not enforced by the Engine"}},
	} {
		typ := reflect.TypeOf(table.of)
		for i := range typ.NumField() {
			if table.rows[typ.Field(i).Name] == "" {
				t.Errorf("%s.%s is compared by nothing, and no row says why", typ.Name(), typ.Field(i).Name)
			}
		}
		if len(table.rows) != typ.NumField() {
			t.Errorf("the table of %s has %d rows for %d fields", typ.Name(), len(table.rows), typ.NumField())
		}
	}
}
