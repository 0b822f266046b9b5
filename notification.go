package berth

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/mail"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// ChannelType is how a channel reaches people.
type ChannelType string

const (
	ChannelWebhook ChannelType = "webhook"
	ChannelEmail   ChannelType = "email"
)

// Channel is where notifications go: a webhook or a recipient of mail.
type Channel struct {
	ID             string
	OrganizationID string // whose events it gets; "" for all
	Type           ChannelType
	Target         string // URL or mail address; of a webhook, stores keep no more than ShownTarget in clear
	Kinds          []string
	Enabled        bool
	FailingSince   time.Time // of the first failure after the last success; zero while it works
	LastError      string    // of the last failure; "" while it works
	CreatedAt      time.Time
	CreatedBy      string
}

// ShownTarget is as much of a webhook's URL as is no secret: path and query often
// let whoever knows them write.
func ShownTarget(target string) string {
	if u, err := url.Parse(target); err == nil && u.Host != "" {
		return u.Scheme + "://" + u.Host
	}
	return "(set)"
}

// SealedWebhook is what is stored encrypted of a webhook.
type SealedWebhook struct {
	URL    string `json:"url"`
	Secret string `json:"secret"` // that signs
}

// ParseSealedWebhook reads what was encrypted of a webhook. Earlier versions
// sealed the secret alone, and kept the URL beside it: then old is true.
func ParseSealedWebhook(plaintext []byte, target string) (w SealedWebhook, old bool, err error) {
	if !bytes.HasPrefix(plaintext, []byte("{")) {
		return SealedWebhook{target, string(plaintext)}, true, nil
	}
	if err := json.Unmarshal(plaintext, &w); err != nil {
		return SealedWebhook{}, false, Errorf(CodeInternal, "a sealed webhook can't be read: %w", err)
	}
	return w, false, nil
}

// CheckAddress reports why text is not one bare mail address. One at a literal
// IP address is refused: it could make the mail server connect inside.
func CheckAddress(text string) error {
	const most = 254 // RFC 5321, 4.5.3.1.3, without the angle brackets
	a, err := mail.ParseAddress(text)
	switch {
	case len(text) > most:
		return errors.New("it is too long")
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return errors.New("it holds a space or a control character")
	case err != nil || a.Name != "" || a.Address != text:
		return errors.New("it can't be read")
	case strings.ContainsAny(text, "[]"):
		return errors.New("its domain must be a name")
	}
	return nil
}

// FailingAfter is how long a channel has to fail before it is called failing.
const FailingAfter = 3 * 24 * time.Hour

// State is "enabled", "disabled" or "failing".
func (c Channel) State(now time.Time) string {
	switch {
	case !c.Enabled:
		return "disabled"
	case !c.FailingSince.IsZero() && now.Sub(c.FailingSince) >= FailingAfter:
		return "failing"
	}
	return "enabled"
}

// ChannelContext binds the secret of a channel to its place.
func ChannelContext(channelID string) string { return "channel|" + channelID }

// DeliveryState is how far a delivery has come.
type DeliveryState string

const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed"  // after the last attempt
	DeliveryDropped   DeliveryState = "dropped" // its channel is disabled
)

// Delivery is one event on its way to one channel. Its id stays the same over
// all attempts, so that the receiver can drop a second copy.
type Delivery struct {
	ID         string
	ChannelID  string
	EventID    string
	Kind       string // of the event; "test" for one that was asked for
	Body       []byte // as it is sent, each time the same
	CreatedAt  time.Time
	Attempt    int       // how many were made
	At         time.Time // of the last attempt; zero before the first
	StatusCode int       // that the receiver answered; 0 if it did not
	Error      string    // of the last attempt
	Duration   time.Duration
	NextAt     time.Time // of the next attempt, while pending
	State      DeliveryState
}

const (
	// DeliveryAttempts is how often a delivery is tried.
	DeliveryAttempts = 12
	firstRetry       = 5 * time.Second
	longestRetry     = 6 * time.Hour
)

// RetryDelay is how long to wait after a number of failed attempts. spread, from
// 0 to 1, keeps receivers that failed together from being retried together.
func RetryDelay(attempts int, spread float64) time.Duration {
	d := firstRetry
	for range attempts - 1 {
		if d *= 4; d >= longestRetry {
			d = longestRetry
			break
		}
	}
	return time.Duration(float64(d) * (0.8 + 0.2*spread))
}
