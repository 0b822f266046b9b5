package docker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

const engineHint = "check that the Docker Engine runs and answers (docker info); Berth tries again by itself"

// explain turns an error of the client into ours. parent is the caller's
// context, call the one that limit was set on. The client's error stays the
// cause, so errdefs.IsNotFound and its like still work on the result.
func (e *Engine) explain(parent, call context.Context, limit time.Duration, err error) *berth.Error {
	var ours *berth.Error
	switch {
	case errors.As(err, &ours):
		return ours
	case parent.Err() != nil:
		return berth.Errorf(berth.CodeEngineUnavailable, "The call was ended before the Engine answered: %w", context.Cause(parent)).
			WithHint("it is safe to repeat")
	case call.Err() != nil:
		return berth.Errorf(berth.CodeEngineUnavailable, "The Engine did not answer within %s: %w", limit, call.Err()).WithHint(engineHint)
	case client.IsErrConnectionFailed(err):
		return berth.Errorf(berth.CodeEngineUnavailable, "The Engine at %s can't be reached: %w", e.Host, err).WithHint(engineHint)
	case errdefs.IsNotFound(err), errdefs.IsConflict(err):
		// Someone else changed or removed the object between two calls; the
		// next attempt starts from what is there then.
		return refusal(berth.CodeEngineUnavailable, err).WithHint("the tenant's objects changed meanwhile; Berth tries again by itself")
	case errdefs.IsUnavailable(err):
		return refusal(berth.CodeEngineUnavailable, err).WithHint(engineHint)
	case portInUse(err):
		return refusal(berth.CodePortTaken, err).WithHint("the Engine chose a port of this host's loopback that someone else has; Berth tries again by itself, and the Engine chooses another one")
	case answered(err):
		return refusal(berth.CodeEngineRefused, err).WithHint("read the Engine's message; its own log may say more")
	default:
		return berth.Errorf(berth.CodeEngineUnavailable, "The Engine's answer broke off: %w", err).WithHint(engineHint)
	}
}

// refusal quotes the Engine and keeps err as the cause.
func refusal(code berth.Code, err error) *berth.Error {
	return &berth.Error{Code: code, Message: "The Engine said: " + engineMessage(err), Err: errdefsOnly{err}}
}

// errdefsOnly keeps the class of a client error and shortens its text to what
// the Engine said.
type errdefsOnly struct{ err error }

func (e errdefsOnly) Error() string { return engineMessage(e.err) }
func (e errdefsOnly) Unwrap() error { return e.err }

func engineMessage(err error) string {
	return strings.TrimPrefix(err.Error(), "Error response from daemon: ")
}

// answered reports whether err is an answer of the Engine, with a status.
func answered(err error) bool {
	return errdefs.IsInvalidArgument(err) || errdefs.IsPermissionDenied(err) || errdefs.IsInternal(err) ||
		errdefs.IsNotImplemented(err) || errdefs.IsUnauthorized(err) || errdefs.IsFailedPrecondition(err) ||
		errdefs.IsUnknown(err)
}

// decided reports whether err says what became of a call: the Engine answered, or the
// fence kept it back. The client reports an answer that breaks off as a failed
// connection, so that is undecided.
func decided(err error) bool {
	var ours *berth.Error
	return errors.As(err, &ours) || answered(err) || errdefs.IsNotFound(err) || errdefs.IsConflict(err) || errdefs.IsUnavailable(err)
}

// portInUse reports whether the Engine could not publish an instance's port. It
// chooses that port itself at each start, a rootless one in a namespace where it does
// not see what else listens on the host: there is no class for it, only words.
func portInUse(err error) bool {
	text := engineMessage(err)
	return strings.Contains(text, "address already in use") || strings.Contains(text, "port is already allocated")
}

// foreignError says that something stands where one of ours should.
func foreignError(f berth.Foreign) *berth.Error {
	return berth.Errorf(berth.CodeForeignObject, "There is a %s named %s that Berth did not make (%s)", f.Kind, f.Name, f.Reason).
		WithHint("if compose made it from the tenant's rendered file, take it back with berth adopt; else rename or remove it yourself: Berth never touches it")
}
