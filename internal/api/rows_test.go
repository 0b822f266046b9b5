package api_test

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/rekey"
	"github.com/unite-hub/berth/internal/store"
)

// Where a route's target lies.
const (
	ofOrganization = "organization" // in the path or the body: another's looks as if it did not exist
	ofInstallation = "installation" // nobody but an operator has any business there
	ofOwn          = "own"          // a list of what the actor sees
	ofSelf         = "self"         // whoever is known
)

// row is what a route takes and who may.
type row struct {
	of     string
	scope  string
	status int    // of a call that is allowed and succeeds
	action string // in the audit; of a mutation that succeeds too
	body   string // ORG stands for the organization, ID for what make made
	query  string
	// make makes what the path names last, and returns its id.
	make func(w *tableWorld) string
	// last has the operator's call come after those that are denied, because
	// nothing is left then.
	last bool
	// hidden has what is missing be not found for those who see the organization
	// and may not manage it, as the store shows it.
	hidden bool
	noKey  bool // a mutation that takes no idempotency key
}

// rows are all routes but the open ones, by operation, in the order in which
// they are tried. A route without a row fails.
var rowOrder = strings.Fields(`
	provision start restart adopt scale deploy rollback configure stop cancel
	list get status health health-check deployments deployment events compose compose-env logs metrics usage fleet-usage prometheus sweep
	organizations organization put-organization audit organization-audit verify-audit verify-organization-audit
	blueprints blueprint apply-blueprint registries put-registry delete-registry volumes all-events backup keys rotate-key retire-key
	notifications create-notification deliveries test-notification delete-notification
	tokens create-token revoke-token users update-user members put-member remove-member
	operator-invitations invite-operator revoke-operator-invitation invitations invite revoke-invitation accept-invitation
	me sessions end-session deprovision`)

var rows = map[string]row{
	"provision":    {of: ofInstallation, scope: "provision", status: 201, action: "tenant.provision", last: true, body: `{"organizationId":"` + three + `","tenantName":"Three","imageTag":"app:1"}`},
	"start":        {of: ofOrganization, scope: "start", status: 200, action: "tenant.start"},
	"restart":      {of: ofOrganization, scope: "start", status: 200, action: "tenant.restart"},
	"adopt":        {of: ofOrganization, scope: "provision", status: 200, action: "tenant.adopt"},
	"scale":        {of: ofOrganization, scope: "configure", status: 200, action: "tenant.scale", body: `{"memoryLimitMb":600}`},
	"deploy":       {of: ofOrganization, scope: "deploy", status: 200, action: "tenant.deploy", body: `{"deploymentNotes":"x"}`},
	"rollback":     {of: ofOrganization, scope: "deploy", status: 200, action: "tenant.rollback"},
	"configure":    {of: ofOrganization, scope: "configure", status: 200, action: "tenant.configure", body: `{"environment":{"CANARY":"canary-of-configure"}}`},
	"cancel":       {of: ofOrganization, scope: "deploy", status: 409, action: "tenant.cancel"}, // nothing is under way
	"stop":         {of: ofOrganization, scope: "stop", status: 200, action: "tenant.stop"},
	"deprovision":  {of: ofOrganization, scope: "provision", status: 200, action: "tenant.deprovision", last: true},
	"list":         {of: ofOwn, scope: "read", status: 200, action: "read.list"},
	"get":          {of: ofOrganization, scope: "read", status: 200, action: "read.get"},
	"status":       {of: ofOrganization, scope: "read", status: 200, action: "read.status"},
	"health":       {of: ofOrganization, scope: "read", status: 200, action: "read.health"},
	"health-check": {of: ofOrganization, scope: "read", status: 200, action: "read.health-check", noKey: true},
	"deployments":  {of: ofOrganization, scope: "read", status: 200, action: "read.deployments"},
	"deployment":   {of: ofOrganization, scope: "read", status: 200, action: "read.deployment", make: (*tableWorld).deployment},
	"events":       {of: ofOrganization, scope: "read", status: 200, action: "read.events"},
	"compose":      {of: ofOrganization, scope: "read", status: 200, action: "read.compose"},
	"compose-env":  {of: ofOrganization, scope: "installation", status: 200, action: "tenant.compose-env"},
	"logs":         {of: ofOrganization, scope: "read", status: 422, action: "read.logs"},    // this world's engine shows none
	"metrics":      {of: ofOrganization, scope: "read", status: 422, action: "read.metrics"}, // nor is there a meter
	"usage":        {of: ofOrganization, scope: "read", status: 200, action: "read.usage"},
	"fleet-usage":  {of: ofOwn, scope: "read", status: 422, action: "read.fleet-usage"},
	"prometheus":   {of: ofOwn, scope: "read", status: 200, action: "read.prometheus"},
	"sweep":        {of: ofInstallation, scope: "installation", status: 200, action: "read.sweep"},

	"organizations":             {of: ofOwn, scope: "read", status: 200, action: "read.organizations"},
	"organization":              {of: ofOrganization, scope: "read", status: 200, action: "read.organization"},
	"put-organization":          {of: ofOrganization, scope: "installation", status: 200, action: "organization.put", body: `{"name":"Renamed"}`},
	"audit":                     {of: ofInstallation, scope: "audit", status: 200, action: "read.audit"},
	"organization-audit":        {of: ofOrganization, scope: "audit", status: 200, action: "read.organization-audit"},
	"verify-audit":              {of: ofInstallation, scope: "audit", status: 200, action: "read.verify-audit"},
	"verify-organization-audit": {of: ofOrganization, scope: "audit", status: 200, action: "read.verify-organization-audit"},

	"blueprints":      {of: ofOwn, scope: "read", status: 200, action: "read.blueprints"},
	"blueprint":       {of: ofOwn, scope: "read", status: 200, action: "read.blueprint"},
	"apply-blueprint": {of: ofInstallation, scope: "installation", status: 201, action: "blueprint.apply", body: `{"source":` + strconv.Quote(strings.Replace(shop, "shop", "table", 1)) + `}`},
	"registries":      {of: ofInstallation, scope: "installation", status: 200, action: "read.registries"},
	"put-registry":    {of: ofInstallation, scope: "installation", status: 204, action: "registry.put", body: `{"username":"u","password":"canary-of-registry"}`},
	"delete-registry": {of: ofInstallation, scope: "installation", status: 204, action: "registry.delete", make: (*tableWorld).registry},
	"volumes":         {of: ofInstallation, scope: "installation", status: 200, action: "read.volumes"},
	"all-events":      {of: ofInstallation, scope: "installation", status: 200, action: "read.all-events"},
	"keys":            {of: ofInstallation, scope: "installation", status: 200, action: "read.keys"},
	"rotate-key":      {of: ofInstallation, scope: "installation", status: 201, action: "key.rotate"},
	"retire-key":      {of: ofInstallation, scope: "installation", status: 204, action: "key.retire", make: (*tableWorld).formerKey},
	"backup":          {of: ofInstallation, scope: "installation", status: 200, action: "backup.read", noKey: true},

	"notifications":       {of: ofOwn, scope: "people", status: 200, action: "read.notifications"},
	"create-notification": {of: ofOrganization, scope: "people", status: 201, action: "channel.create", body: `{"organizationId":"ORG","url":"https://hooks.example.com/canary-of-hook"}`},
	"deliveries":          {of: ofOrganization, scope: "people", status: 200, action: "read.deliveries", make: (*tableWorld).channel},
	"test-notification":   {of: ofOrganization, scope: "people", status: 202, action: "channel.test", make: (*tableWorld).channel},
	"delete-notification": {of: ofOrganization, scope: "people", status: 204, action: "channel.delete", make: (*tableWorld).channel, last: true},

	"tokens":       {of: ofOrganization, scope: "people", status: 200, action: "read.tokens", query: "organizationId=ORG"},
	"create-token": {of: ofOrganization, scope: "people", status: 201, action: "token.create", body: `{"name":"x","role":"member","organizationId":"ORG"}`},
	"revoke-token": {of: ofOrganization, scope: "people", status: 204, action: "token.revoke", make: (*tableWorld).token, hidden: true},

	"users":         {of: ofInstallation, scope: "installation", status: 200, action: "read.users"},
	"update-user":   {of: ofInstallation, scope: "installation", status: 200, action: "user.update", body: `{"disabled":true}`, make: (*tableWorld).person},
	"members":       {of: ofOrganization, scope: "people", status: 200, action: "read.members"},
	"put-member":    {of: ofOrganization, scope: "people", status: 200, action: "member.put", body: `{"role":"member"}`, make: (*tableWorld).person},
	"remove-member": {of: ofOrganization, scope: "people", status: 204, action: "member.remove", make: (*tableWorld).person, last: true},

	"operator-invitations":       {of: ofInstallation, scope: "installation", status: 200, action: "read.operator-invitations"},
	"invite-operator":            {of: ofInstallation, scope: "installation", status: 201, action: "user.invite", body: `{"email":"x@example.com"}`},
	"revoke-operator-invitation": {of: ofInstallation, scope: "installation", status: 204, action: "invitation.revoke", make: (*tableWorld).operatorInvitation},
	"invitations":                {of: ofOrganization, scope: "people", status: 200, action: "read.invitations"},
	"invite":                     {of: ofOrganization, scope: "people", status: 201, action: "user.invite", body: `{"email":"x@example.com","role":"member"}`},
	"revoke-invitation":          {of: ofOrganization, scope: "people", status: 204, action: "invitation.revoke", make: (*tableWorld).invitation},
	"accept-invitation":          {of: ofSelf, status: 403, action: "invitation.accept", body: `{"invitation":"x"}`, noKey: true}, // a token is no person
	"me":                         {of: ofSelf, status: 200, action: "read.me"},
	"sessions":                   {of: ofSelf, status: 403, action: "read.sessions"},
	"end-session":                {of: ofSelf, status: 403, action: "session.end", noKey: true},
}

// May is what each role may do to an organization's own, by scope: yes, no, or
// only what its operator allows.
const (
	yes     = "yes"
	no      = "no"
	allowed = "if allowed"
)

var may = map[string]map[string]string{
	"member":       {"read": yes},
	"deployer":     {"read": yes, "deploy": allowed},
	"our deployer": {"read": yes, "deploy": yes},
	"admin":        {"read": yes, "audit": yes, "people": yes, "start": allowed, "stop": allowed, "deploy": allowed, "configure": allowed},
}

func (w *tableWorld) deployment() string {
	list := w.ask("GET", "/api/tenants/"+one+"/deployments", "").json(w.t)["deployments"].([]any)
	return list[0].(map[string]any)["id"].(string)
}

func (w *tableWorld) registry() string {
	w.want(w.ask("PUT", "/api/registries/made.example.com", `{"username":"u","password":"p"}`), 204, "registry")
	return "made.example.com"
}

// formerKey rotates the keys, seals everything anew and returns the one before.
func (w *tableWorld) formerKey() string {
	before, err := w.box.Primary()
	w.must(err)
	_, err = w.box.Rotate(w.t.Context(), time.Now().Add(-time.Hour))
	w.must(err)
	ctx, stop := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- rekey.New(w.store, w.box, slog.New(slog.DiscardHandler)).Run(ctx) }()
	used := func() bool {
		list, err := w.service.ListKeys(w.t.Context(), berth.System())
		w.must(err)
		return slices.ContainsFunc(list, func(k berth.KeyUse) bool { return k.ID == before && k.Sealed > 0 })
	}
	for deadline := time.Now().Add(20 * time.Second); used() && time.Now().Before(deadline); {
		<-time.After(10 * time.Millisecond)
	}
	stop()
	w.must(<-ended)
	return strconv.FormatUint(uint64(before), 10)
}

func (w *tableWorld) channel() string {
	return w.made("/api/notifications", `{"organizationId":"`+one+`","url":"https://hooks.example.com/x"}`)
}

func (w *tableWorld) token() string {
	return w.made("/api/tokens", `{"name":"x","role":"member","organizationId":"`+one+`"}`)
}

func (w *tableWorld) invitation() string {
	return w.made("/api/organizations/"+one+"/invitations", `{"email":"y@example.com","role":"member"}`)
}

func (w *tableWorld) operatorInvitation() string {
	return w.made("/api/invitations", `{"email":"y@example.com"}`)
}

func (w *tableWorld) made(path, body string) string {
	return w.want(w.ask("POST", path, body), 201, path)["id"].(string)
}

func (w *tableWorld) person() string {
	w.put(func(tx store.Tx) error {
		if _, err := tx.User(w.t.Context(), ada); err == nil {
			return tx.PutMembership(w.t.Context(), berth.Membership{UserID: ada, OrganizationID: one, Role: berth.RoleMember, CreatedAt: moment()})
		}
		return tx.PutUser(w.t.Context(), berth.User{ID: ada, Email: "ada@example.com", Name: "Ada", CreatedAt: moment()})
	})
	w.put(func(tx store.Tx) error {
		return tx.PutMembership(w.t.Context(), berth.Membership{UserID: ada, OrganizationID: one, Role: berth.RoleMember, CreatedAt: moment()})
	})
	return ada
}
