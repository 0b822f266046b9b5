package api_test

import (
	"strings"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// storedChannels is what the database holds of channels.
func (w *world) storedChannels() (list []store.StoredChannel) {
	w.t.Helper()
	w.put(func(tx store.Tx) (err error) {
		list, _, err = tx.ListChannels(w.t.Context(), store.Page{Limit: 100})
		return err
	})
	return list
}

func TestAWebhooksURLIsSealedAtRest(t *testing.T) {
	const url = "https://hooks.example.com/services/canary?token=canary"
	w := newWorld(t)
	w.want(w.ask("POST", "/api/notifications", `{"url":"`+url+`"}`), 201, "create")
	if a := w.ask("POST", "/api/backup", ""); a.status != 200 || strings.Contains(a.body, "canary") {
		t.Errorf("a copy of the database holds it: %d", a.status)
	}
	if list := w.storedChannels(); len(list) != 1 || list[0].Target != "https://hooks.example.com" || strings.Contains(string(list[0].Ciphertext), "canary") {
		t.Errorf("stored: %+v", list)
	}
	shown := func() any {
		return w.want(w.ask("GET", "/api/notifications", ""), 200, "list")["notifications"].([]any)[0].(map[string]any)["url"]
	}
	if got := shown(); got != url {
		t.Errorf("who may change it sees %v", got)
	}
	// What an earlier version stored.
	c := w.storedChannels()[0]
	old, err := w.box.Seal([]byte("whsec_c2VjcmV0"), berth.ChannelContext(c.ID))
	w.must(err)
	c.Target, c.Ciphertext = url, old
	w.put(func(tx store.Tx) error { return tx.ResealChannel(t.Context(), c) })
	if got := shown(); got != url {
		t.Errorf("from before: %v", got)
	}
	for range 2 { // at each start
		w.must(w.service.SealWebhooks(t.Context()))
		plain, err := w.box.Open(w.storedChannels()[0].Ciphertext, berth.ChannelContext(c.ID))
		w.must(err)
		sealed, unsealed, err := berth.ParseSealedWebhook(plain, "")
		if err != nil || unsealed || sealed.URL != url || sealed.Secret != "whsec_c2VjcmV0" || w.storedChannels()[0].Target != "https://hooks.example.com" {
			t.Errorf("%+v %v %v", sealed, unsealed, err)
		}
	}
	if got := shown(); got != url {
		t.Errorf("afterwards: %v", got)
	}
}
