package docker

import (
	"strconv"

	"github.com/unite-hub/berth"
)

// instance is one container that a stack calls for, and what it is called in the
// end. The loop knows no names: they are the Engine's way to tell containers
// apart, and people's.
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

// composed reports whether a container carries what Compose gives to those of a
// tenant's rendered file, which has no seal in it. They stand in the way of ours
// whatever is joined to the tenant's name: Compose 2 does that by hyphens. What
// docker compose run makes for once stands beside.
func composed(labels map[string]string, organizationID string) bool {
	return labels[berth.LabelTenantID] == organizationID && labels[berth.LabelSeal] == "" &&
		labels["com.docker.compose.project"] == berth.ContainerName(organizationID) && labels["com.docker.compose.oneoff"] != "True"
}

func replicaName(organizationID, service string, replica int) string {
	return berth.ContainerName(organizationID) + "_" + service + "_" + strconv.Itoa(replica)
}
