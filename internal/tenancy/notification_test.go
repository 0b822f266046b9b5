package tenancy_test

import (
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// seal stands where nothing of encryption is looked at.
type seal struct{}

func (seal) Seal(plain []byte, _ string) ([]byte, error)  { return plain, nil }
func (seal) Open(sealed []byte, _ string) ([]byte, error) { return sealed, nil }

func TestAnActorOfOneOrganizationHandlesItsOwnChannelsOnly(t *testing.T) {
	service, s := fleet(t, 2, func(c *tenancy.Config, p *tenancy.Parts) { p.Secrets, c.Mail = seal{}, true })
	one := berth.Actor{ID: "of one", Role: berth.RoleOperator, OrganizationID: org(1)}
	add := func(actor berth.Actor, n tenancy.NewChannel) berth.Channel {
		t.Helper()
		c, _, err := service.AddChannel(t.Context(), actor, n)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	all := add(operator, tenancy.NewChannel{URL: "https://h.example/all"})
	other := add(operator, tenancy.NewChannel{URL: "https://h.example/other", OrganizationID: org(2)})
	own := add(one, tenancy.NewChannel{URL: "https://h.example/own"})
	mail := add(one, tenancy.NewChannel{Type: berth.ChannelEmail, Address: "ops@example.com", OrganizationID: org(1)})
	if own.OrganizationID != org(1) || mail.OrganizationID != org(1) || own.CreatedBy != "of one" {
		t.Errorf("made %+v and %+v", own, mail)
	}
	for _, n := range []tenancy.NewChannel{{URL: "https://h.example/x", OrganizationID: org(2)}, {Type: berth.ChannelEmail, Address: "a@b.example", OrganizationID: org(2)}} {
		if _, _, err := service.AddChannel(t.Context(), one, n); !berth.Is(err, berth.CodeContainerNotFound) {
			t.Errorf("another's: %v", err)
		}
	}
	list := func(actor berth.Actor) (ids []string) {
		t.Helper()
		channels, _, err := service.Channels(t.Context(), actor, store.Page{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range channels {
			ids = append(ids, c.ID)
		}
		return ids
	}
	if got := list(one); len(got) != 2 || got[0] != own.ID || got[1] != mail.ID {
		t.Errorf("it sees %v", got)
	}
	if _, _, err := service.Channels(t.Context(), berth.Actor{}, store.Page{}); !berth.Is(err, berth.CodeForbidden) {
		t.Errorf("nobody: %v", err)
	}
	other.Enabled = false
	err := s.InTx(t.Context(), operator, func(tx store.Tx) error { return tx.UpdateChannel(t.Context(), other) })
	if err != nil {
		t.Fatal(err)
	}
	for _, actor := range []berth.Actor{one, {}} {
		for _, id := range []string{all.ID, other.ID, "none"} {
			want := berth.CodeNotFound
			if actor.Role == "" {
				want = berth.CodeForbidden
			}
			_, _, listed := service.ChannelDeliveries(t.Context(), actor, id, store.Page{})
			_, tested := service.TestChannel(t.Context(), actor, id)
			for what, err := range map[string]error{"delete": service.DeleteChannel(t.Context(), actor, id), "deliveries": listed, "test": tested} {
				if !berth.Is(err, want) {
					t.Errorf("%q: %s of %s: %v", actor.ID, what, id, err)
				}
			}
		}
	}
	if got := list(operator); len(got) != 4 {
		t.Errorf("there are %v", got)
	}
	for _, id := range []string{all.ID, other.ID} {
		if d, _, err := service.ChannelDeliveries(t.Context(), operator, id, store.Page{}); err != nil || len(d) != 0 {
			t.Errorf("something is sent to %s: %v, %v", id, d, err)
		}
	}
	channels, _, err := service.Channels(t.Context(), operator, store.Page{})
	if err != nil || channels[1].Enabled {
		t.Errorf("another's was enabled: %+v, %v", channels[1], err)
	}
	if _, err := service.TestChannel(t.Context(), one, mail.ID); err != nil {
		t.Error(err)
	}
	if d, _, err := service.ChannelDeliveries(t.Context(), one, mail.ID, store.Page{}); err != nil || len(d) != 1 {
		t.Errorf("%v, %v", d, err)
	}
	if err := service.DeleteChannel(t.Context(), one, own.ID); err != nil {
		t.Error(err)
	}
}
