package berth

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is the class of an Error. Transports map it to their own status; the
// rest of the program branches on it where a Code would be too narrow.
type Kind int

const (
	KindInternal        Kind = iota // a fault of Berth's own
	KindMalformed                   // cannot be parsed, or has the wrong type
	KindUnauthenticated             // who is asking is not known
	KindForbidden                   // known, and not allowed
	KindNotFound                    // absent, or looks so to this actor
	KindConflict                    // wrong state, or a duplicate
	KindTooLarge                    // more than is accepted at once
	KindInvalid                     // parsable, and breaks a rule
	KindRateLimited                 // too often
	KindUnavailable                 // not now; trying again may help
)

// Code names one cause in a stable, machine-readable way. Codes are part of
// the public API: they are added to, never renamed.
type Code string

const (
	CodeInternal             Code = "internal"
	CodeMalformed            Code = "malformed_request"
	CodeUnauthenticated      Code = "unauthenticated"
	CodeForbidden            Code = "forbidden"
	CodeTooLarge             Code = "too_large"
	CodeInvalidOrganization  Code = "invalid_organization_id"
	CodeInvalidName          Code = "invalid_tenant_name"
	CodeInvalidSlug          Code = "invalid_slug"
	CodeInvalidCPU           Code = "invalid_cpu_limit"
	CodeInvalidMemory        Code = "invalid_memory_limit"
	CodeInvalidDisk          Code = "invalid_disk_limit"
	CodeInvalidReplicas      Code = "invalid_replicas"
	CodeInvalidImage         Code = "invalid_image"
	CodeInvalidEnvironment   Code = "invalid_environment"
	CodeInvalidRequest       Code = "invalid_request"
	CodeInvalidBlueprint     Code = "invalid_blueprint"
	CodeMissingVariable      Code = "missing_variable"
	CodeNotSupportedYet      Code = "not_supported_yet"
	CodeTenantExists         Code = "tenant_exists"
	CodeSlugTaken            Code = "slug_taken"
	CodeContainerNotFound    Code = "container_not_found"
	CodeDeploymentNotFound   Code = "deployment_not_found"
	CodeBlueprintNotFound    Code = "blueprint_not_found"
	CodeNotFound             Code = "not_found"
	CodeAlreadyRunning       Code = "already_running"
	CodeAlreadyStopped       Code = "already_stopped"
	CodeDeprovisioning       Code = "deprovisioning"
	CodeDeploymentInProgress Code = "deployment_in_progress"
	CodeDeploymentFailed     Code = "deployment_failed"
	CodeNothingUnderWay      Code = "nothing_under_way"
	CodeNothingToRollBack    Code = "nothing_to_roll_back_to"
	CodeIdempotencyMismatch  Code = "idempotency_key_reused"
	CodeStale                Code = "stale_write"
	CodeNoPorts              Code = "no_available_ports"
	CodeNoSubnets            Code = "no_available_subnets"
	CodeSubnetTaken          Code = "subnet_taken"
	CodePortTaken            Code = "port_taken"
	CodeEngineUnavailable    Code = "engine_unavailable"
	CodeEngineRefused        Code = "engine_refused"
	CodeEngineMismatch       Code = "engine_mismatch"
	CodeForeignObject        Code = "foreign_object"
	CodeImageNotFound        Code = "image_not_found"
	CodeRegistryDenied       Code = "registry_denied"
	CodeRegistryUnavailable  Code = "registry_unavailable"
	CodeDataMissing          Code = "data_missing"
	CodeDataLeftBehind       Code = "data_left_behind"
	CodeStorageUnavailable   Code = "storage_unavailable"
	CodeShuttingDown         Code = "shutting_down"
	CodeOrganizationNotFound Code = "organization_not_found"
	CodeUserNotFound         Code = "user_not_found"
	CodeEmailTaken           Code = "email_taken"
	CodeInvalidEmail         Code = "invalid_email"
	CodeInvalidRole          Code = "invalid_role"
	CodeInvalidScope         Code = "invalid_scope"
	CodeInvitationInvalid    Code = "invitation_invalid"
	CodeSelfServiceDenied    Code = "self_service_denied"
	CodeRateLimited          Code = "rate_limited"
	CodeProviderUnavailable  Code = "identity_provider_unavailable"
	CodeNotLeading           Code = "not_leading"
	CodeOutcomeUnknown       Code = "outcome_unknown"
	CodeUnanswered           Code = "request_unanswered"
)

var kinds = map[Code]Kind{
	CodeInternal:             KindInternal,
	CodeMalformed:            KindMalformed,
	CodeUnauthenticated:      KindUnauthenticated,
	CodeForbidden:            KindForbidden,
	CodeTooLarge:             KindTooLarge,
	CodeInvalidOrganization:  KindInvalid,
	CodeInvalidName:          KindInvalid,
	CodeInvalidSlug:          KindInvalid,
	CodeInvalidCPU:           KindInvalid,
	CodeInvalidMemory:        KindInvalid,
	CodeInvalidDisk:          KindInvalid,
	CodeInvalidReplicas:      KindInvalid,
	CodeInvalidImage:         KindInvalid,
	CodeInvalidEnvironment:   KindInvalid,
	CodeInvalidRequest:       KindInvalid,
	CodeInvalidBlueprint:     KindInvalid,
	CodeMissingVariable:      KindInvalid,
	CodeNotSupportedYet:      KindInvalid,
	CodeTenantExists:         KindConflict,
	CodeSlugTaken:            KindConflict,
	CodeContainerNotFound:    KindNotFound,
	CodeDeploymentNotFound:   KindNotFound,
	CodeBlueprintNotFound:    KindNotFound,
	CodeNotFound:             KindNotFound,
	CodeAlreadyRunning:       KindConflict,
	CodeAlreadyStopped:       KindConflict,
	CodeDeprovisioning:       KindConflict,
	CodeDeploymentInProgress: KindConflict,
	CodeDeploymentFailed:     KindConflict,
	CodeNothingUnderWay:      KindConflict,
	CodeNothingToRollBack:    KindConflict,
	CodeIdempotencyMismatch:  KindInvalid,
	CodeStale:                KindConflict,
	CodeNoPorts:              KindConflict,
	CodeNoSubnets:            KindConflict,
	CodeSubnetTaken:          KindConflict,
	CodePortTaken:            KindConflict,
	CodeEngineUnavailable:    KindUnavailable,
	CodeEngineRefused:        KindConflict,
	CodeEngineMismatch:       KindConflict,
	CodeForeignObject:        KindConflict,
	CodeImageNotFound:        KindNotFound,
	CodeRegistryDenied:       KindConflict,
	CodeRegistryUnavailable:  KindUnavailable,
	CodeDataMissing:          KindConflict,
	CodeDataLeftBehind:       KindConflict,
	CodeStorageUnavailable:   KindUnavailable,
	CodeShuttingDown:         KindUnavailable,
	CodeOrganizationNotFound: KindNotFound,
	CodeUserNotFound:         KindNotFound,
	CodeEmailTaken:           KindConflict,
	CodeInvalidEmail:         KindInvalid,
	CodeInvalidRole:          KindInvalid,
	CodeInvalidScope:         KindInvalid,
	CodeInvitationInvalid:    KindForbidden,
	CodeSelfServiceDenied:    KindForbidden,
	CodeRateLimited:          KindRateLimited,
	CodeProviderUnavailable:  KindUnavailable,
	CodeNotLeading:           KindUnavailable,
	CodeOutcomeUnknown:       KindUnavailable,
	CodeUnanswered:           KindConflict,
}

// Kind returns the class that c belongs to, KindInternal for a code it does
// not know.
func (c Code) Kind() Kind { return kinds[c] }

// Error is the one error type that crosses package borders. It says what
// failed (Op), for which tenant, why (Message, Err), and what to do next (Hint).
type Error struct {
	Code    Code
	Op      string // what was being done, such as "pull image"; may be empty
	Message string // one sentence for a person; the seed's own words where it has any
	Hint    string // the way out
	Field   string // the input field at fault, in the API's camelCase; may be empty
	Tenant  string // organization id; may be empty

	// Deployment is the id of the deployment that failed, for
	// CodeDeploymentFailed.
	Deployment string

	// Findings are all that is wrong with a blueprint, for
	// CodeInvalidBlueprint.
	Findings []BlueprintFinding

	Err error // the cause; may be nil
}

// Errorf returns an Error whose message is made from format and args. A %w
// verb in format keeps the wrapped error as its cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// WithHint returns a copy of e that says what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// WithField returns a copy of e that names the input field at fault.
func (e *Error) WithField(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// WithOp returns a copy of e that names the operation and the tenant.
func (e *Error) WithOp(op, tenant string) *Error {
	c := *e
	c.Op, c.Tenant = op, tenant
	return &c
}

// WithFindings returns a copy of e that lists what is wrong with a blueprint.
func (e *Error) WithFindings(list []BlueprintFinding) *Error {
	c := *e
	c.Findings = list
	return &c
}

// Error returns the operation and the message. A cause that the message
// already quotes is not repeated.
func (e *Error) Error() string {
	s := e.Message
	if s == "" {
		s = string(e.Code)
	}
	if e.Err != nil && !strings.Contains(s, e.Err.Error()) {
		s += ": " + e.Err.Error()
	}
	if e.Op != "" {
		s = e.Op + ": " + s
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first Error in err's chain, CodeInternal if
// there is none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// Is reports whether err carries code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }
