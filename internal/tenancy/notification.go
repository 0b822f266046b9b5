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
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// mostChannels bounds what one event causes: an organization has so many at
// most, and so has the installation.
const mostChannels = 200

// NewChannel is a request for a channel.
type NewChannel struct {
	OrganizationID string            // "" for all that the actor sees
	Type           berth.ChannelType // "": a webhook
	URL            string            // of a webhook
	Address        string            // of mail
	Kinds          []string          // none: berth.NotifiedKinds
}

// AddChannel stores a channel. Of a webhook it returns the secret that its
// receiver checks signatures with; it is shown this once.
func (s *Service) AddChannel(ctx context.Context, actor berth.Actor, n NewChannel) (c berth.Channel, secret string, err error) {
	if n.OrganizationID == "" {
		n.OrganizationID = actor.OrganizationID
	}
	target, err := s.target(&n)
	if err != nil {
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
		ID: berth.NewID(), OrganizationID: n.OrganizationID, Type: n.Type, Target: target, Kinds: slices.Compact(n.Kinds),
		Enabled: true, CreatedAt: s.now(), CreatedBy: actor.ID,
	}
	var sealed []byte
	if c.Type == berth.ChannelWebhook {
		var key [32]byte
		_, _ = rand.Read(key[:]) // never fails: it crashes the program instead
		secret = "whsec_" + base64.StdEncoding.EncodeToString(key[:])
		if sealed, err = s.sealWebhook(c.ID, berth.SealedWebhook{URL: c.Target, Secret: secret}); err != nil {
			return berth.Channel{}, "", err
		}
	}
	err = s.store.InTx(ctx, actor, func(tx store.Tx) error {
		if n.OrganizationID != "" {
			t, err := find(ctx, tx, actor, action.CreateChannel, n.OrganizationID)
			if err != nil {
				return err
			}
			c.OrganizationID = t.OrganizationID
		} else if err := authoriseInstallation(actor, action.CreateChannel); err != nil {
			return err
		}
		if err := checkChannelQuota(ctx, tx, c.OrganizationID); err != nil {
			return err
		}
		stored := store.StoredChannel{Channel: c, Ciphertext: sealed}
		if c.Type == berth.ChannelWebhook {
			stored.Target = berth.ShownTarget(c.Target)
		}
		if err := tx.InsertChannel(ctx, stored); err != nil {
			return err
		}
		return action.CreateChannel.Record(ctx, tx, actor, action.Change{At: s.now(), Organization: c.OrganizationID, Target: c.ID, After: channelEntryOf(c)})
	})
	if err != nil {
		return berth.Channel{}, "", err
	}
	return c, secret, nil
}

// checkChannelQuota refuses one channel too many of an organization, or with "" of
// the installation. None takes the share of another.
func checkChannelQuota(ctx context.Context, tx store.Channels, organizationID string) error {
	n := 0
	for c, err := range store.Each(func(p store.Page) ([]store.StoredChannel, string, error) { return tx.ListChannels(ctx, p) }) {
		if err != nil {
			return err
		}
		if c.OrganizationID == organizationID {
			n++
		}
	}
	if n >= mostChannels {
		return berth.Errorf(berth.CodeInvalidRequest, "There are %d notification channels already", n).WithHint("remove one that nobody needs")
	}
	return nil
}

// target checks where n goes, and sets its type.
func (s *Service) target(n *NewChannel) (string, error) {
	other := func(field, way string) error {
		return berth.Errorf(berth.CodeInvalidRequest, "A channel has either a URL or a mail address").WithField(field).WithHint("%s", way)
	}
	switch n.Type {
	case "", berth.ChannelWebhook:
		n.Type = berth.ChannelWebhook
		if n.Address != "" {
			return "", other("address", "say type email to have mail sent to the address, or give a url")
		}
		return n.URL, s.checkReceiver(n.URL)
	case berth.ChannelEmail:
		if n.URL != "" {
			return "", other("url", "leave it out, or leave out type and address to have a webhook")
		}
		if err := checkAddress(n.Address); err != nil {
			return "", err
		}
		return n.Address, s.checkMail()
	}
	return "", berth.Errorf(berth.CodeInvalidRequest, "Unknown type of channel").WithField("type").
		WithHint("%s was given; there are webhook and email", berth.Quote(string(n.Type)))
}

func (s *Service) checkMail() error {
	if s.config.Mail {
		return nil
	}
	return berth.Errorf(berth.CodeInvalidRequest, "Berth was started without a mail server").WithField("type").
		WithHint("start berth serve with --smtp HOST:PORT and --smtp-from ADDRESS, or use a webhook")
}

func checkAddress(text string) error {
	if err := berth.CheckAddress(text); err != nil {
		return berth.Errorf(berth.CodeInvalidRequest, "Invalid mail address: %w", err).WithField("address").
			WithHint("give one address without a name, such as ops@example.com")
	}
	return nil
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
	case u.Scheme != "https" && (u.Scheme != "http" || !s.config.NotifyHTTP):
		return bad("it must begin with https://")
	}
	return nil
}

// channelEntry is a channel as the audit shows it.
type channelEntry struct {
	Type    berth.ChannelType `json:"type"`
	Target  string            `json:"target"`
	Kinds   []string          `json:"kinds"`
	Enabled bool              `json:"enabled"`
}

// channelEntryOf leaves out of a webhook's URL what often is a password: path
// and query.
func channelEntryOf(c berth.Channel) channelEntry {
	target := c.Target
	if c.Type == berth.ChannelWebhook {
		target = berth.ShownTarget(target)
	}
	return channelEntry{c.Type, target, c.Kinds, c.Enabled}
}

func (s *Service) sealWebhook(id string, w berth.SealedWebhook) ([]byte, error) {
	data, err := json.Marshal(w)
	if err != nil {
		return nil, berth.Errorf(berth.CodeInternal, "encode webhook: %w", err)
	}
	return s.secrets.Seal(data, berth.ChannelContext(id))
}

// SealWebhooks seals the URLs of webhooks that an earlier version stored in clear.
func (s *Service) SealWebhooks(ctx context.Context) error {
	return s.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		list, _, err := tx.ListChannels(ctx, store.Page{Limit: store.Unbounded})
		if err != nil {
			return err
		}
		for _, c := range list {
			if c.Type != berth.ChannelWebhook {
				continue
			}
			plaintext, err := s.secrets.Open(c.Ciphertext, berth.ChannelContext(c.ID))
			if err != nil {
				continue // its key is lost, and so is what would be sent
			}
			w, old, err := berth.ParseSealedWebhook(plaintext, c.Target)
			if err != nil || !old {
				continue
			}
			c.Target = berth.ShownTarget(w.URL)
			if c.Ciphertext, err = s.sealWebhook(c.ID, w); err != nil {
				return err
			}
			if err := tx.ResealChannel(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
}

// withURL is a channel with its whole URL, for who may change it. If the key that
// sealed the URL is lost, the channel keeps the shortened one that is shown to others.
func (s *Service) withURL(c store.StoredChannel) berth.Channel {
	if c.Type == berth.ChannelWebhook {
		if plaintext, err := s.secrets.Open(c.Ciphertext, berth.ChannelContext(c.ID)); err == nil {
			if w, _, err := berth.ParseSealedWebhook(plaintext, c.Target); err == nil {
				c.Target = w.URL
			}
		}
	}
	return c.Channel
}

// Channels returns a page of the channels that the actor sees, oldest first.
func (s *Service) Channels(ctx context.Context, actor berth.Actor, p store.Page) (page []berth.Channel, next string, err error) {
	if err := authoriseOwn(actor, action.Channels); err != nil {
		return nil, "", err
	}
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		page = nil
		var stored []store.StoredChannel
		stored, next, err = tx.ListChannels(ctx, p)
		for _, c := range stored {
			page = append(page, s.withURL(c))
		}
		return err
	})
	return page, next, err
}

// channelFinder finds a channel, and what its organization is allowed.
type channelFinder interface {
	Channel(ctx context.Context, id string) (store.StoredChannel, error)
	store.Organizations
}

// findChannel returns a channel if the actor may do that to it.
func findChannel(ctx context.Context, tx channelFinder, actor berth.Actor, what action.Action, id string) (berth.Channel, error) {
	if err := authoriseOwn(actor, what); err != nil {
		return berth.Channel{}, err
	}
	c, err := tx.Channel(ctx, id)
	if err != nil {
		return berth.Channel{}, err
	}
	return c.Channel, authorise(ctx, tx, actor, what, c.OrganizationID)
}

// DeleteChannel forgets a channel and its deliveries.
func (s *Service) DeleteChannel(ctx context.Context, actor berth.Actor, id string) error {
	return s.store.InTx(ctx, actor, func(tx store.Tx) error {
		c, err := findChannel(ctx, tx, actor, action.DeleteChannel, id)
		if err != nil {
			return err
		}
		if err := tx.DeleteChannel(ctx, id); err != nil {
			return err
		}
		return action.DeleteChannel.Record(ctx, tx, actor, action.Change{At: s.now(), Organization: c.OrganizationID, Target: c.ID, Before: channelEntryOf(c)})
	})
}

// ChannelDeliveries returns a page of what a channel was sent, newest first.
func (s *Service) ChannelDeliveries(ctx context.Context, actor berth.Actor, id string, p store.Page) (page []berth.Delivery, next string, err error) {
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		if _, err := findChannel(ctx, tx, actor, action.Deliveries, id); err != nil {
			return err
		}
		page, next, err = tx.ListDeliveries(ctx, id, p)
		return err
	})
	return page, next, err
}

// TestChannel has a channel sent something that says that it is a test. A
// channel that was disabled by its receiver is enabled again.
func (s *Service) TestChannel(ctx context.Context, actor berth.Actor, id string) (d berth.Delivery, err error) {
	now := s.now()
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
	err = s.store.InTx(ctx, actor, func(tx store.Tx) error {
		c, err := findChannel(ctx, tx, actor, action.TestChannel, id)
		if err != nil {
			return err
		}
		if c.Type == berth.ChannelEmail {
			if err := s.checkMail(); err != nil {
				return err
			}
		}
		before := channelEntryOf(c)
		if !c.Enabled {
			c.Enabled = true
			if err := tx.UpdateChannel(ctx, c); err != nil {
				return err
			}
		}
		if err := tx.InsertDelivery(ctx, d); err != nil {
			return err
		}
		return action.TestChannel.Record(ctx, tx, actor, action.Change{At: s.now(), Organization: c.OrganizationID, Target: c.ID, Before: before, After: channelEntryOf(c)})
	})
	return d, err
}
