package serve

import (
	"net/netip"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/netguard"
	"github.com/unite-hub/berth/internal/notify"
	"github.com/unite-hub/berth/internal/store"
)

// connectPatience is how long a receiver's address has to take a connection.
const connectPatience = 5 * time.Second

// notifier returns what sends notifications.
func (s *server) notifier(st store.Store) *notify.Dispatcher {
	dialer := netguard.NewDialer(s.pool, s.notifyAllow, connectPatience)
	senders := map[berth.ChannelType]notify.Sender{berth.ChannelWebhook: notify.NewWebhook(s.box, store.Now, dialer.DialContext)}
	if s.mail != nil {
		senders[berth.ChannelEmail] = notify.NewMail(*s.mail)
	}
	return notify.New(notify.Config{Store: st, Log: s.log, Now: store.Now, Senders: senders, Events: s.KeepHours})
}

// parsePrefixes reads prefixes that are separated by commas.
func parsePrefixes(flag, text string) (list []netip.Prefix, err error) {
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, invalid(flag, part, "must be prefixes, separated by commas", "use such as 192.168.7.0/24")
		}
		list = append(list, p.Masked())
	}
	return list, nil
}
