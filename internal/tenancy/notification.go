package tenancy

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// mostChannels bounds what one event causes.
const mostChannels = 200

// NewChannel is a request for a channel.
type NewChannel struct {
	OrganizationID string // "" for all that the actor sees
	URL            string
	Kinds          []string // none: berth.NotifiedKinds
}

// AddChannel stores a webhook and returns the secret that its receiver checks
// signatures with. It is shown this once.
func (s *Service) AddChannel(ctx context.Context, actor berth.Actor, n NewChannel) (c berth.Channel, secret string, err error) {
	if n.OrganizationID == "" {
		n.OrganizationID = actor.OrganizationID
	}
	if !actor.MaySee(n.OrganizationID) {
		return c, "", berth.Errorf(berth.CodeForbidden, "Another organization's notifications").WithField("organizationId").
			WithHint("leave organizationId out, or use an operator's token")
	}
	if err := s.checkReceiver(n.URL); err != nil {
		return c, "", err
	}
	if len(n.Kinds) == 0 {
		n.Kinds = berth.NotifiedKinds()
	}
	for _, k := range n.Kinds {
		if !slices.Contains(berth.EventKinds(), k) {
			return c, "", berth.Errorf(berth.CodeInvalidRequest, "Unknown kind of event").WithField("kinds").
				WithHint("%s was given; there are %s", berth.Quote(k), strings.Join(berth.EventKinds(), ", "))
		}
	}
	slices.Sort(n.Kinds)
	c = berth.Channel{
		ID: berth.NewID(), OrganizationID: n.OrganizationID, Type: berth.ChannelWebhook, Target: n.URL, Kinds: slices.Compact(n.Kinds),
		Enabled: true, CreatedAt: s.Now(), CreatedBy: actor.ID,
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails: it crashes the program instead
	secret = "whsec_" + base64.StdEncoding.EncodeToString(key[:])
	sealed, err := s.Secrets.Seal([]byte(secret), berth.ChannelContext(c.ID))
	if err != nil {
		return berth.Channel{}, "", err
	}
	err = s.Store.InTx(ctx, actor, func(tx store.Tx) error {
		if n.OrganizationID != "" {
			if _, err := tx.Tenant(ctx, n.OrganizationID); err != nil {
				return err
			}
		}
		list, err := tx.ListChannels(ctx)
		if err != nil {
			return err
		}
		if len(list) >= mostChannels {
			return berth.Errorf(berth.CodeInvalidRequest, "There are %d notification channels already", len(list)).WithHint("remove one that nobody needs")
		}
		return tx.InsertChannel(ctx, store.StoredChannel{Channel: c, Ciphertext: sealed})
	})
	if err != nil {
		return berth.Channel{}, "", err
	}
	return c, secret, nil
}

// checkReceiver checks what a URL says. Where its host lies is checked at each
// connection.
func (s *Service) checkReceiver(text string) error {
	bad := func(rule string) error {
		return berth.Errorf(berth.CodeInvalidRequest, "Invalid URL: %s", rule).WithField("url").
			WithHint("give the receiver's URL, such as https://hooks.example.com/berth")
	}
	const most = 2048
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || len(text) > most:
		return bad("it can't be read, or is too long")
	case u.User != nil:
		return bad("it must not hold a user or a password")
	case u.Fragment != "":
		return bad("it must not have a fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !s.NotifyHTTP):
		return bad("it must begin with https://")
	}
	return nil
}

// Channels lists the channels that the actor sees, oldest first.
func (s *Service) Channels(ctx context.Context, actor berth.Actor) (list []berth.Channel, err error) {
	err = s.Store.View(ctx, actor, func(tx store.Tx) error {
		stored, err := tx.ListChannels(ctx)
		for _, c := range stored {
			list = append(list, c.Channel)
		}
		return err
	})
	return list, err
}

// DeleteChannel forgets a channel and its deliveries.
func (s *Service) DeleteChannel(ctx context.Context, actor berth.Actor, id string) error {
	return s.Store.InTx(ctx, actor, func(tx store.Tx) error { return tx.DeleteChannel(ctx, id) })
}

// ChannelDeliveries lists what a channel was sent, newest first.
func (s *Service) ChannelDeliveries(ctx context.Context, actor berth.Actor, id string, limit int) (list []berth.Delivery, err error) {
	err = s.Store.View(ctx, actor, func(tx store.Tx) error {
		list, err = tx.ListDeliveries(ctx, id, limit)
		return err
	})
	return list, err
}

// TestChannel has a channel sent something that says that it is a test. A
// channel that was disabled by its receiver is enabled again.
func (s *Service) TestChannel(ctx context.Context, actor berth.Actor, id string) (d berth.Delivery, err error) {
	now := s.Now()
	event := berth.NewID()
	body, err := json.Marshal(map[string]any{
		"type": "test", "timestamp": now, "data": map[string]string{"message": "This is a test.", "eventId": event},
	})
	if err != nil {
		return d, err
	}
	d = berth.Delivery{
		ID: berth.NewID(), ChannelID: id, EventID: event, Kind: "test", Body: body, CreatedAt: now, NextAt: now, State: berth.DeliveryPending,
	}
	err = s.Store.InTx(ctx, actor, func(tx store.Tx) error {
		c, err := tx.Channel(ctx, id)
		if err != nil {
			return err
		}
		if !c.Enabled {
			c.Enabled = true
			if err := tx.UpdateChannel(ctx, c.Channel); err != nil {
				return err
			}
		}
		return tx.InsertDelivery(ctx, d)
	})
	return d, err
}
