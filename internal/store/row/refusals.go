// Package row is what every store keeps and answers alike, whatever its
// database: which rows an actor may see and write (Access), pages and their
// cursors, the columns of each kind of row, the JSON of specs, steps and counters,
// and the refusals. It holds no SQL.
package row

import (
	"net/netip"

	"github.com/unite-hub/berth"
)

// bug is the hint of what only a fault of the program can cause.
const bug = "this is a fault of Berth; please report it"

// Forbidden refuses, with CodeForbidden, what the actor must not do.
func Forbidden() error {
	return berth.Errorf(berth.CodeForbidden, "Not allowed").WithHint("use a token that may manage this organization")
}

// ReadOnly refuses, with CodeInternal, to write in a view.
func ReadOnly() error {
	return berth.Errorf(berth.CodeInternal, "A view can't write").WithHint(bug)
}

// NotFound says, with CodeNotFound, that there is none of what: a noun that
// begins the message. It is also the answer to who must not see it.
func NotFound(what string) error {
	return berth.Errorf(berth.CodeNotFound, "%s not found", what).WithHint("list what there is")
}

// NoTenant is NotFound for a tenant, by its organization or slug:
// CodeContainerNotFound.
func NoTenant(ref string) error {
	return berth.Errorf(berth.CodeContainerNotFound, "Container not found").
		WithHint("no tenant %s; list the tenants to see what there is", berth.Quote(ref))
}

// NoDeployment is NotFound for a deployment: CodeDeploymentNotFound.
func NoDeployment(id string) error {
	return berth.Errorf(berth.CodeDeploymentNotFound, "Deployment not found").
		WithHint("no deployment %s; list the tenant's deployments: older ones than --keep-deployments of berth serve keeps were dropped", berth.Quote(id))
}

// NoBlueprint is NotFound for a version of a blueprint, 0 for any:
// CodeBlueprintNotFound.
func NoBlueprint(name string, version int) error {
	id := name
	if version != 0 {
		id = berth.BlueprintID(name, version)
	}
	return berth.Errorf(berth.CodeBlueprintNotFound, "Blueprint not found").
		WithHint("no blueprint %s; list the blueprints to see what there is", berth.Quote(id))
}

// NoOrganization is NotFound for an organization: CodeOrganizationNotFound.
func NoOrganization(id string) error {
	return berth.Errorf(berth.CodeOrganizationNotFound, "Organization not found").WithField("organizationId").
		WithHint("no organization %s; list the organizations to see what there is", berth.Quote(id))
}

// NoUser is NotFound for a user: CodeUserNotFound.
func NoUser(id string) error {
	return berth.Errorf(berth.CodeUserNotFound, "User not found").WithField("userId").
		WithHint("no user %s; list the members to see who there is", berth.Quote(id))
}

// NoCredential is NotFound for the credential of a registry.
func NoCredential(registry string) error {
	return berth.Errorf(berth.CodeNotFound, "Credential not found").
		WithHint("no credential for %s; list them to see what there is", berth.Quote(registry))
}

// Stale refuses, with CodeStale, a change of what is no longer as it was read.
// what is a noun that begins the message.
func Stale(what string) error {
	return berth.Errorf(berth.CodeStale, "%s was changed meanwhile", what).WithHint("read it again and repeat the change")
}

// DeploymentUnderWay refuses, with CodeDeploymentInProgress, a tenant's second
// open deployment.
func DeploymentUnderWay() error {
	return berth.Errorf(berth.CodeDeploymentInProgress, "Another deployment of this tenant is under way").
		WithHint("wait until it is over, or stop the tenant")
}

// TenantExists refuses, with CodeTenantExists, an organization's second living
// tenant.
func TenantExists() error {
	return berth.Errorf(berth.CodeTenantExists, "Tenant container already exists for this organization").
		WithField("organizationId").WithHint("change the tenant that is there, or deprovision it first")
}

// SlugTaken refuses, with CodeSlugTaken, a slug that another living tenant has.
func SlugTaken(slug string) error {
	return berth.Errorf(berth.CodeSlugTaken, "Slug is taken").WithField("slug").
		WithHint("choose another slug; %s belongs to another tenant", berth.Quote(slug))
}

// PortTaken refuses, with CodePortTaken, a port that another living tenant has.
func PortTaken(port int) error {
	return berth.Errorf(berth.CodePortTaken, "External port %d is taken", port).
		WithHint("try again: another port will be chosen")
}

// SubnetTaken refuses, with CodeSubnetTaken, a subnet that another living tenant
// has.
func SubnetTaken(subnet netip.Prefix) error {
	return berth.Errorf(berth.CodeSubnetTaken, "Subnet %s is taken", subnet).
		WithHint("try again: another subnet will be chosen")
}

// EmailTaken refuses, with CodeEmailTaken, an address that another user has.
func EmailTaken(email string) error {
	return berth.Errorf(berth.CodeEmailTaken, "Mail address is taken").WithField("email").
		WithHint("another user has %s; addresses are compared without case", berth.Quote(email))
}

// NotSummedBy refuses, with CodeInternal, to sum health by r.
func NotSummedBy(r berth.Resolution) error {
	return berth.Errorf(berth.CodeInternal, "Health is summed by hour and day, not by %s", berth.Quote(string(r))).WithHint(bug)
}

// NeverSealed refuses, with CodeInternal, a kind of values that are not sealed.
func NeverSealed(kind string) error {
	return berth.Errorf(berth.CodeInternal, "There are no sealed values of kind %s", berth.Quote(kind)).WithHint(bug)
}

// Timeless refuses, with CodeInternal, to forget requests before no time: it
// would be none, or all.
func Timeless() error {
	return berth.Errorf(berth.CodeInternal, "No time to forget requests before").WithHint(bug)
}
