package berth

import (
	"strings"
	"unicode/utf8"
)

// Bounds of a tenant's own environment. The kernel refuses a single string
// above 128 KiB.
const (
	MaxEnvironmentVars  = 256
	MaxEnvironmentBytes = 64 << 10 // of one value
)

var envPattern = pattern(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// reservedEnv are the variables that Berth sets itself: a tenant whose
// identity could be overridden would serve another one's data.
var reservedEnv = map[string]bool{"TENANT_ID": true, "TENANT_NAME": true, "TENANT_SLUG": true, "TENANT_URL": true, "PORT": true}

// ValidateEnvironment checks names and values. Values may hold anything but
// NUL, which no process environment can carry.
func ValidateEnvironment(env map[string]string) error {
	if len(env) > MaxEnvironmentVars {
		return Errorf(CodeInvalidEnvironment, "Environment must have at most %d variables", MaxEnvironmentVars).
			WithField("environment").WithHint("%d were given", len(env))
	}
	for name, value := range env {
		field := "environment." + name
		switch {
		case !envPattern().MatchString(name):
			return Errorf(CodeInvalidEnvironment, "Environment variable names must match [A-Za-z_][A-Za-z0-9_]*").
				WithField("environment").WithHint("%s was given", Quote(name))
		case reservedEnv[name]:
			return Errorf(CodeInvalidEnvironment, "Environment variable %s is set by Berth", name).
				WithField(field).WithHint("choose another name; Berth sets TENANT_ID, TENANT_NAME, TENANT_SLUG, TENANT_URL and PORT itself")
		case strings.ContainsRune(value, 0):
			return Errorf(CodeInvalidEnvironment, "Environment values must not contain NUL").
				WithField(field).WithHint("encode binary data, for instance as base64")
		case !utf8.ValidString(value):
			return Errorf(CodeInvalidEnvironment, "Environment values must be valid UTF-8").
				WithField(field).WithHint("encode binary data, for instance as base64")
		case len(value) > MaxEnvironmentBytes:
			return Errorf(CodeInvalidEnvironment, "Environment values must be at most %d bytes", MaxEnvironmentBytes).
				WithField(field).WithHint("%d bytes were given; put large data in a volume", len(value))
		}
	}
	return nil
}

// secretWords mark a variable of the built-in blueprint as secret.
var secretWords = []string{"SECRET", "TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "PRIVATE", "CREDENTIAL", "_KEY", "APIKEY", "DATABASE_URL", "_DSN"}

// IsSecretName reports whether the built-in blueprint treats a variable as a
// secret: a rollback leaves its current value in place, so that a revoked key
// never comes back. Every value is encrypted at rest, secret or not.
func IsSecretName(name string) bool {
	upper := strings.ToUpper(name)
	for _, w := range secretWords {
		if strings.Contains(upper, w) {
			return true
		}
	}
	return false
}

// SecretContext binds an encrypted value to the tenant and variable it belongs
// to: moved to another row, it does not open.
func SecretContext(organizationID, name string) string { return organizationID + "|" + name }

// KeyMarkContext binds the value by which a database knows its keys.
const KeyMarkContext = "installation|key"

// RegistryContext binds an encrypted password to its registry.
func RegistryContext(registry string) string { return "registry|" + registry }
