package tenancy

import (
	"context"
	"maps"
	"slices"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// sealEnvironment encrypts values. It returns what a spec refers to (name to
// version id) and the versions to store.
func (s *Service) sealEnvironment(organizationID string, env map[string]string) (map[string]string, []store.SecretVersion, error) {
	refs := make(map[string]string, len(env))
	versions := make([]store.SecretVersion, 0, len(env))
	now := s.now()
	for _, name := range slices.Sorted(maps.Keys(env)) {
		sealed, err := s.secrets.Seal([]byte(env[name]), berth.SecretContext(organizationID, name))
		if err != nil {
			return nil, nil, err
		}
		v := store.SecretVersion{ID: berth.NewID(), OrganizationID: organizationID, Name: name, Ciphertext: sealed, CreatedAt: now}
		refs[name] = v.ID
		versions = append(versions, v)
	}
	return refs, versions, nil
}

func insertSecrets(ctx context.Context, tx store.SecretVersions, versions []store.SecretVersion) error {
	for _, v := range versions {
		if err := tx.InsertSecret(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// mergeEnvironment stores the new values of a change and returns the whole
// environment after it. A nil value removes.
func (s *Service) mergeEnvironment(ctx context.Context, tx store.SecretVersions, t berth.Tenant, delta map[string]*string) (map[string]string, error) {
	env := maps.Clone(t.Spec.Environment)
	if env == nil {
		env = map[string]string{}
	}
	for name, value := range delta {
		if value == nil {
			delete(env, name)
		}
	}
	refs, versions, err := s.sealEnvironment(t.OrganizationID, newValues(delta))
	if err != nil {
		return nil, err
	}
	maps.Copy(env, refs)
	if len(env) > berth.MaxEnvironmentVars {
		return nil, berth.Errorf(berth.CodeInvalidEnvironment, "Environment must have at most %d variables", berth.MaxEnvironmentVars).
			WithField("environment").WithHint("with this change there would be %d", len(env))
	}
	return env, insertSecrets(ctx, tx, versions)
}

// withoutAbsent leaves out of a change what removes a variable that is not
// there.
func withoutAbsent(delta map[string]*string, env map[string]string) map[string]*string {
	left := maps.Clone(delta)
	maps.DeleteFunc(left, func(name string, value *string) bool {
		_, there := env[name]
		return value == nil && !there
	})
	return left
}

// validateDelta checks the values that a change sets.
func validateDelta(delta map[string]*string) error {
	return berth.ValidateEnvironment(newValues(delta))
}

// newValues are the values that a change sets.
func newValues(delta map[string]*string) map[string]string {
	values := make(map[string]string, len(delta))
	for name, value := range delta {
		if value != nil {
			values[name] = *value
		}
	}
	return values
}

// rolledBackEnvironment is the environment after a return to an earlier spec:
// plain variables as they were then, secrets as they are now. A secret that
// was removed since stays removed.
func rolledBackEnvironment(now, then map[string]string, isSecret func(name string) bool) map[string]string {
	env := map[string]string{}
	for name, version := range then {
		if !isSecret(name) {
			env[name] = version
		}
	}
	for name, version := range now {
		if isSecret(name) {
			env[name] = version
		}
	}
	return env
}
