package berth

import (
	"slices"
	"strings"
)

// Scopes is a set of kinds of action.
type Scopes uint16

const (
	ScopeRead         Scopes = 1 << iota // see tenants, health, usage, deployments and logs
	ScopeStart                           // start, restart, wake
	ScopeStop                            // stop, sleep
	ScopeDeploy                          // deploy, roll back
	ScopeConfigure                       // name, limits, replicas, environment, domains
	ScopePeople                          // members, invitations, tokens and notifications of an organization
	ScopeAudit                           // read the audit log
	ScopeProvision                       // provision, deprovision
	ScopeInstallation                    // blueprints, registries, backups, organizations, operators
	endOfScopes

	AllScopes = endOfScopes - 1
	// SelfService is what an operator may allow an organization's own people.
	SelfService = ScopeStart | ScopeStop | ScopeDeploy | ScopeConfigure
)

var scopeNames = []string{"read", "start", "stop", "deploy", "configure", "people", "audit", "provision", "installation"}

// Has reports whether all of do is in s.
func (s Scopes) Has(do Scopes) bool { return do != 0 && s&do == do }

// Names are the names of what is in s, in a fixed order; never nil.
func (s Scopes) Names() []string {
	names := []string{}
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// ParseScopes is the reverse of Names.
func ParseScopes(names []string) (Scopes, error) {
	var s Scopes
	for _, name := range names {
		i := slices.Index(scopeNames, name)
		if i < 0 {
			return 0, Errorf(CodeInvalidScope, "Unknown scope %s", Quote(name)).WithField("scopes").
				WithHint("there are %s", strings.Join(scopeNames, ", "))
		}
		s |= 1 << i
	}
	return s, nil
}
