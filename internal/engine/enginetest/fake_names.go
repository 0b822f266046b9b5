package enginetest

import (
	"strconv"
	"strings"

	"github.com/unite-hub/berth"
)

// instance is one container that a stack calls for, and what it is called in the
// end: names as the real engine gives them.
type instance struct {
	berth.InstanceSpec
	Name string
}

// instances are the containers that a stack calls for, in the order in which
// they start.
func instances(s berth.Stack) []instance { return named(s.OrganizationID, s.Instances()) }

// waves are the same in groups: each comes after those that it depends on.
func waves(s berth.Stack) (list [][]instance) {
	for _, wave := range s.Waves() {
		list = append(list, named(s.OrganizationID, wave))
	}
	return list
}

func named(organizationID string, specs []berth.InstanceSpec) (list []instance) {
	for _, spec := range specs {
		name := berth.ContainerName(organizationID)
		if !spec.Service.Main || spec.Replica > 1 {
			name = replicaName(organizationID, spec.Service.Name, spec.Replica)
		}
		list = append(list, instance{spec, name})
	}
	return list
}

// stagedName is what a container is called while one of another generation has
// its name: the later one until it takes the name over, the earlier one after.
func stagedName(organizationID string, generation int, service string, replica int) string {
	return replicaName(organizationID, "g"+strconv.Itoa(generation)+"_"+service, replica)
}

// isStaged reports whether c stands beside one of another generation that has
// its name.
func isStaged(organizationID string, c berth.Instance) bool {
	return c.Name == stagedName(organizationID, c.Generation, c.Service, c.Replica)
}

// namesOf are the names that a container may have had, whichever it has now.
func namesOf(organizationID string, c berth.Instance) []string {
	return []string{
		berth.ContainerName(organizationID), replicaName(organizationID, c.Service, c.Replica),
		stagedName(organizationID, c.Generation, c.Service, c.Replica),
	}
}

// composed reports, as the real engine's does, whether Compose runs a container of the
// tenant's rendered file, or is about to.
func composed(c *fakeContainer, organizationID string) bool {
	return c != nil && c.state != berth.InstanceExited && c.labels[berth.LabelTenantID] == organizationID && c.labels[berth.LabelSeal] == "" &&
		strings.Contains(c.name, berth.ContainerName(organizationID)) &&
		c.labels["com.docker.compose.project"] == berth.ContainerName(organizationID) && c.labels["com.docker.compose.oneoff"] != "True"
}

func replicaName(organizationID, service string, replica int) string {
	return berth.ContainerName(organizationID) + "_" + service + "_" + strconv.Itoa(replica)
}
