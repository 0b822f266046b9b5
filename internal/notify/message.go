package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// message is a delivery as mail. It is the same in all attempts, its
// Message-ID included: who gets it twice can tell.
func (m *Mail) message(c store.StoredChannel, d berth.Delivery) (*mail.Msg, error) {
	var p payload
	if err := json.Unmarshal(d.Body, &p); err != nil {
		return nil, errors.New("the delivery is damaged")
	}
	out := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(out.From(m.config.From), out.To(c.Target)); err != nil {
		return nil, errors.New("the address can't be used")
	}
	_, domain, _ := strings.Cut(m.config.From, "@")
	out.Subject(subject(d.Kind, p))
	out.SetDateWithValue(d.CreatedAt)
	out.SetMessageIDWithValue(d.ID + "@" + domain)
	out.SetGenHeader("Auto-Submitted", "auto-generated")
	out.SetBodyString(mail.TypeTextPlain, text(c, d.Kind, p))
	return out, nil
}

// happened says what a kind of event means for people.
func happened(kind string) string {
	switch kind {
	case "test":
		return "a test"
	case berth.EventDeploymentFailed:
		return "deployment failed"
	case berth.EventUnhealthy:
		return "is not healthy"
	case berth.EventRecovered:
		return "is healthy again"
	case berth.EventOOM:
		return "ran out of memory"
	case berth.EventDisk:
		return "needs disk space"
	case berth.EventCrashed:
		return "crashed"
	case berth.EventGaveUp:
		return "crashed too often and was given up"
	case berth.EventDrift:
		return "was changed by other means, and repaired"
	case berth.EventForeign:
		return "something that is not Berth's stands in the way"
	case berth.EventPort:
		return "its port is taken"
	case berth.EventEngine:
		return "the engine can't show it, or had it moved to another subnet"
	}
	return kind
}

func subject(kind string, p payload) string {
	const most = 150
	if kind == "test" {
		return "[Berth] A test"
	}
	who := strings.ReplaceAll(oneLine(p.Data.TenantName), "=?", "= ?") // a reader would decode it
	if who == "" {
		who = "this installation"
	}
	s := []rune("[Berth] " + who + ": " + happened(kind))
	return string(s[:min(len(s), most)])
}

func text(c store.StoredChannel, kind string, p payload) string {
	var b strings.Builder
	row := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(&b, "%-14s%s\n", name, oneLine(value)) // a Builder takes everything
		}
	}
	row("What:", happened(kind))
	row("Details:", p.Data.Message)
	row("When:", p.Timestamp.UTC().Format(time.RFC1123))
	row("Tenant:", p.Data.TenantName)
	row("Slug:", p.Data.Slug)
	row("Organization:", p.Data.OrganizationID)
	row("Deployment:", p.Data.DeploymentID)
	row("Event:", p.Data.EventID)
	if org := p.Data.OrganizationID; org != "" {
		b.WriteString("\nTo look further:\n")
		command := func(parts ...string) { b.WriteString("    berth " + oneLine(strings.Join(parts, " ")) + "\n") }
		command("status", org)
		command("events", org)
		if p.Data.DeploymentID != "" {
			command("deployments", org, p.Data.DeploymentID)
		}
		command("logs", org)
	} else if kind != "test" {
		b.WriteString("\nTo look further:\n    berth events\n")
	}
	_, _ = fmt.Fprintf(&b, "\nSent by Berth. To end it: berth notify rm %s\n", c.ID)
	return b.String()
}

// oneLine is text without what a terminal, a header or a reader's eye takes for
// something else: control characters, line separators, changes of direction.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.In(r, unicode.C) || r == unicode.ReplacementChar
	}), " ")
}
