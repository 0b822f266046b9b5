package docker

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// Watch calls hint with the tenants that something happened to, and at first, once
// the stream is open, with one of Any. It returns when ctx ends or the Engine's
// stream does; the error is never nil.
func (e *Engine) Watch(ctx context.Context, hint func(berth.Hint)) error {
	s := step{op: "watch the engine"}
	stream, cancel := context.WithCancel(ctx)
	defer cancel()
	// The deadline is on the beginning of the answer only: the stream itself
	// has no end.
	overdue := time.AfterFunc(e.ReadTimeout, cancel)
	// The Engine answers before it subscribes: what happens in between is replayed.
	since := strconv.FormatInt(time.Now().Unix(), 10)
	got := e.api.Events(stream, client.EventsListOptions{Since: since, Filters: watched()})
	if !overdue.Stop() && ctx.Err() == nil {
		e.known.Store(nil)
		return berth.Errorf(berth.CodeEngineUnavailable, "The Engine did not answer within %s", e.ReadTimeout).
			WithHint(engineHint).WithOp(s.op, "")
	}
	hint(berth.Hint{Opened: true})
	for {
		select {
		case m := <-got.Messages:
			if org := tenantOf(m); org != "" {
				hint(hintOf(org, m))
			}
		case err := <-got.Err:
			if ctx.Err() == nil {
				e.known.Store(nil) // another Engine may answer next time
			}
			return e.explain(ctx, stream, e.ReadTimeout, err).WithOp(s.op, "")
		}
	}
}

func hintOf(organizationID string, m events.Message) berth.Hint {
	h := berth.Hint{OrganizationID: organizationID, OOM: m.Action == events.ActionOOM, Service: m.Actor.Attributes[berth.LabelService]}
	if m.Type != events.ContainerEventType || m.Action != events.ActionDie && !h.OOM {
		return h
	}
	h.InstanceID = m.Actor.ID
	if code, err := strconv.Atoi(m.Actor.Attributes["exitCode"]); err == nil && m.Action == events.ActionDie {
		h.Ended, h.ExitCode = true, code
	}
	return h
}

// watched are the events that may mean drift. There is no filter by label: the
// events of networks and volumes carry none.
func watched() client.Filters {
	return client.Filters{}.
		Add("type", string(events.ContainerEventType), string(events.NetworkEventType), string(events.VolumeEventType)).
		Add("event", "start", "die", "stop", "oom", "pause", "unpause", "destroy", "rename", "update", "disconnect", "health_status")
}

// tenantOf returns the organization id of the tenant that an event is about,
// "" if it is none's. It believes names and labels: a hint proves nothing.
func tenantOf(m events.Message) string {
	if org := m.Actor.Attributes[berth.LabelTenantID]; berth.IsUUID(org) {
		return org
	}
	name := m.Actor.Attributes["name"]
	if m.Type == events.VolumeEventType {
		name = m.Actor.ID
	}
	rest, ok := strings.CutPrefix(name, berth.ContainerName(""))
	if !ok {
		return ""
	}
	org, _, _ := strings.Cut(rest, "_")
	if !berth.IsUUID(org) {
		return ""
	}
	return org
}
