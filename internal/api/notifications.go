package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/tenancy"
)

type channelWire struct {
	ID             string     `json:"id"`
	OrganizationID *string    `json:"organizationId" doc:"whose events it gets; null for all"`
	Type           string     `json:"type" enum:"webhook,email"`
	URL            *string    `json:"url" doc:"of a webhook"`
	Address        *string    `json:"address" doc:"of mail"`
	Kinds          []string   `json:"kinds"`
	State          string     `json:"state" enum:"enabled,disabled,failing"`
	FailingSince   *time.Time `json:"failingSince"`
	LastError      *string    `json:"lastError"`
	CreatedAt      time.Time  `json:"createdAt"`
	CreatedBy      *string    `json:"createdBy"`
}

type channelList struct {
	Notifications []channelWire `json:"notifications"`
	NextCursor    *string       `json:"nextCursor"`
}

type channelBody struct {
	OrganizationID string   `json:"organizationId,omitempty" doc:"whose events it gets; left out: all"`
	Type           string   `json:"type,omitempty" enum:"webhook,email" doc:"left out: webhook"`
	URL            string   `json:"url,omitempty" doc:"of a webhook"`
	Address        string   `json:"address,omitempty" doc:"of mail: one address"`
	Kinds          []string `json:"kinds,omitempty" doc:"left out: those that someone should look at"`
}

type channelMade struct {
	Secret *string `json:"secret" doc:"that a webhook's signatures are checked with, shown this once; null for mail"`
	channelWire
}

// ChannelInput names a channel.
type ChannelInput struct {
	ID string `path:"notificationId"`
}

type deliveriesInput struct {
	ChannelInput
	PageInput
}

type testChannelInput struct {
	ChannelInput
	BareInput
}

type deliveryWire struct {
	ID         string     `json:"id" doc:"the header webhook-id, or the beginning of Message-ID; the same in all attempts"`
	EventID    string     `json:"eventId"`
	Kind       string     `json:"kind"`
	State      string     `json:"state" enum:"pending,delivered,failed,dropped"`
	Attempt    int        `json:"attempt" doc:"how many were made"`
	CreatedAt  time.Time  `json:"createdAt"`
	At         *time.Time `json:"at" doc:"of the last attempt"`
	StatusCode *int       `json:"statusCode"`
	Error      *string    `json:"error"`
	DurationMs int64      `json:"durationMs"`
	NextAt     *time.Time `json:"nextAt"`
}

type deliveryList struct {
	Deliveries []deliveryWire `json:"deliveries"`
	NextCursor *string        `json:"nextCursor"`
}

func channelOf(c berth.Channel) channelWire {
	var url, address *string
	if c.Type == berth.ChannelEmail {
		address = &c.Target
	} else {
		url = &c.Target
	}
	return channelWire{c.ID, orNull(c.OrganizationID), string(c.Type), url, address, c.Kinds, c.State(time.Now()), orNullTime(c.FailingSince),
		orNull(c.LastError), c.CreatedAt, orNull(c.CreatedBy)}
}

func deliveryOf(d berth.Delivery) deliveryWire {
	var status *int
	if d.StatusCode != 0 {
		status = &d.StatusCode
	}
	return deliveryWire{d.ID, d.EventID, d.Kind, string(d.State), d.Attempt, d.CreatedAt, orNullTime(d.At), status,
		orNull(d.Error), d.Duration.Milliseconds(), orNullTime(d.NextAt)}
}

func (s *server) notificationRoutes() {
	const path = "/api/notifications"
	op := func(method, path, id, summary string) huma.Operation {
		o := operation(method, path, id, summary)
		o.Tags = []string{"notifications"}
		return o
	}
	secured(s, op(http.MethodGet, path, "notifications", "Where notifications go"), func(ctx context.Context, actor berth.Actor, in *PageInput) (*body[channelList], error) {
		page, next, err := s.Service.Channels(ctx, actor, in.page())
		out := channelList{Notifications: []channelWire{}, NextCursor: orNull(next)}
		for _, c := range page {
			out.Notifications = append(out.Notifications, channelOf(c))
		}
		return &body[channelList]{out}, err
	})
	create := s.takes(op(http.MethodPost, path, "create-notification", "Have a webhook or a mail address told of events"), channelBody{})
	create.DefaultStatus = http.StatusCreated
	secured(s, create, func(ctx context.Context, actor berth.Actor, in *RawInput) (*body[channelMade], error) {
		var b channelBody
		if err := decode(in.RawBody, &b); err != nil {
			return nil, err
		}
		c, secret, err := s.Service.AddChannel(ctx, actor, tenancy.NewChannel{
			OrganizationID: b.OrganizationID, Type: berth.ChannelType(b.Type), URL: b.URL, Address: b.Address, Kinds: b.Kinds,
		})
		return &body[channelMade]{channelMade{orNull(secret), channelOf(c)}}, err
	})
	remove := s.takes(op(http.MethodDelete, path+"/{notificationId}", "delete-notification", "Forget a channel"), emptyBody{})
	secured(s, remove, func(ctx context.Context, actor berth.Actor, in *testChannelInput) (*none, error) {
		if err := in.empty(); err != nil {
			return nil, err
		}
		return nil, s.Service.DeleteChannel(ctx, actor, in.ID)
	})
	secured(s, op(http.MethodGet, path+"/{notificationId}/deliveries", "deliveries", "What a channel was sent, newest first"), func(ctx context.Context, actor berth.Actor, in *deliveriesInput) (*body[deliveryList], error) {
		page, next, err := s.Service.ChannelDeliveries(ctx, actor, in.ID, in.page())
		out := deliveryList{Deliveries: []deliveryWire{}, NextCursor: orNull(next)}
		for _, d := range page {
			out.Deliveries = append(out.Deliveries, deliveryOf(d))
		}
		return &body[deliveryList]{out}, err
	})
	test := s.takes(op(http.MethodPost, path+"/{notificationId}/test", "test-notification", "Send a test, and enable what its receiver disabled"), emptyBody{})
	test.DefaultStatus = http.StatusAccepted
	secured(s, test, func(ctx context.Context, actor berth.Actor, in *testChannelInput) (*body[deliveryWire], error) {
		if err := in.empty(); err != nil {
			return nil, err
		}
		d, err := s.Service.TestChannel(ctx, actor, in.ID)
		return &body[deliveryWire]{deliveryOf(d)}, err
	})
}
