package row_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

func TestEveryRefusalHasItsCodeItsFieldAndAHint(t *testing.T) {
	const org = "550e8400-e29b-41d4-a716-446655440000"
	for _, c := range []struct {
		err                   error
		code                  berth.Code
		field, message, hints string
	}{
		{row.Forbidden(), berth.CodeForbidden, "", "Not allowed", "use a token that may manage this organization"},
		{row.ReadOnly(), berth.CodeInternal, "", "A view can't write", "this is a fault of Berth; please report it"},
		{row.NotFound("Token"), berth.CodeNotFound, "", "Token not found", "list what there is"},
		{row.NoTenant("a\nb"), berth.CodeContainerNotFound, "", "Container not found", `no tenant "a\nb"; list the tenants to see what there is`},
		{row.NoDeployment("x"), berth.CodeDeploymentNotFound, "", "Deployment not found", `no deployment "x"; list the tenant's deployments: older ones than --keep-deployments of berth serve keeps were dropped`},
		{row.NoBlueprint("web", 0), berth.CodeBlueprintNotFound, "", "Blueprint not found", `no blueprint "web"; list the blueprints to see what there is`},
		{row.NoBlueprint("web", 2), berth.CodeBlueprintNotFound, "", "Blueprint not found", `no blueprint "web@2"; list the blueprints to see what there is`},
		{row.NoOrganization(org), berth.CodeOrganizationNotFound, "organizationId", "Organization not found", `no organization "` + org + `"; list the organizations to see what there is`},
		{row.NoUser("u"), berth.CodeUserNotFound, "userId", "User not found", `no user "u"; list the members to see who there is`},
		{row.NoCredential("ghcr.io"), berth.CodeNotFound, "", "Credential not found", `no credential for "ghcr.io"; list them to see what there is`},
		{row.Stale("The tenant"), berth.CodeStale, "", "The tenant was changed meanwhile", "read it again and repeat the change"},
		{row.DeploymentUnderWay(), berth.CodeDeploymentInProgress, "", "Another deployment of this tenant is under way", "wait until it is over, or stop the tenant"},
		{row.TenantExists(), berth.CodeTenantExists, "organizationId", "Tenant container already exists for this organization", "change the tenant that is there, or deprovision it first"},
		{row.SlugTaken("acme"), berth.CodeSlugTaken, "slug", "Slug is taken", `choose another slug; "acme" belongs to another tenant`},
		{row.PortTaken(3001), berth.CodePortTaken, "", "External port 3001 is taken", "try again: another port will be chosen"},
		{row.SubnetTaken(netip.MustParsePrefix("10.64.0.0/28")), berth.CodeSubnetTaken, "", "Subnet 10.64.0.0/28 is taken", "try again: another subnet will be chosen"},
		{row.EmailTaken("a@b.example"), berth.CodeEmailTaken, "email", "Mail address is taken", `another user has "a@b.example"; addresses are compared without case`},
		{row.NotSummedBy("minute"), berth.CodeInternal, "", `Health is summed by hour and day, not by "minute"`, "this is a fault of Berth; please report it"},
		{row.NeverSealed("song"), berth.CodeInternal, "", `There are no sealed values of kind "song"`, "this is a fault of Berth; please report it"},
		{row.Timeless(), berth.CodeInternal, "", "No time to forget requests before", "this is a fault of Berth; please report it"},
	} {
		e, ok := errors.AsType[*berth.Error](c.err)
		if !ok {
			t.Errorf("%v is no error of Berth's", c.err)
			continue
		}
		if e.Code != c.code || e.Field != c.field || e.Message != c.message || e.Hint != c.hints {
			t.Errorf("got %s, field %q, %q, hint %q; want %s, %q, %q, %q", e.Code, e.Field, e.Message, e.Hint, c.code, c.field, c.message, c.hints)
		}
	}
}
