package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Notification is a webhook, or a mail address, that is told of events.
type Notification struct {
	ID             string     `json:"id"`
	OrganizationID *string    `json:"organizationId"` // nil for all
	Type           string     `json:"type"`           // "webhook" or "email"
	URL            string     `json:"url"`            // of a webhook
	Address        string     `json:"address"`        // of mail
	Kinds          []string   `json:"kinds"`
	State          string     `json:"state"` // "enabled", "disabled" or "failing"
	FailingSince   *time.Time `json:"failingSince"`
	LastError      *string    `json:"lastError"`
	CreatedAt      time.Time  `json:"createdAt"`
	Secret         string     `json:"secret,omitempty"` // of a webhook, when it is made only
}

// Delivery is one event on its way to a channel.
type Delivery struct {
	ID         string     `json:"id"`
	EventID    string     `json:"eventId"`
	Kind       string     `json:"kind"`
	State      string     `json:"state"` // "pending", "delivered", "failed" or "dropped"
	Attempt    int        `json:"attempt"`
	CreatedAt  time.Time  `json:"createdAt"`
	At         *time.Time `json:"at"`
	StatusCode *int       `json:"statusCode"`
	Error      *string    `json:"error"`
	DurationMs int64      `json:"durationMs"`
	NextAt     *time.Time `json:"nextAt"`
}

// AddNotification makes a webhook; org "" means all, no kinds the usual ones.
// Its Secret can't be read again.
func (c *Client) AddNotification(ctx context.Context, org, receiver string, kinds []string) (out Notification, err error) {
	in := struct {
		OrganizationID string   `json:"organizationId,omitempty"`
		URL            string   `json:"url"`
		Kinds          []string `json:"kinds,omitempty"`
	}{org, receiver, kinds}
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/api/notifications", in: in}, &out)
	return out, err
}

// AddEmailNotification has mail sent to one address; org and kinds as for a
// webhook.
func (c *Client) AddEmailNotification(ctx context.Context, org, address string, kinds []string) (out Notification, err error) {
	in := struct {
		OrganizationID string   `json:"organizationId,omitempty"`
		Type           string   `json:"type"`
		Address        string   `json:"address"`
		Kinds          []string `json:"kinds,omitempty"`
	}{org, "email", address, kinds}
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/api/notifications", in: in}, &out)
	return out, err
}

// Notifications lists the channels, oldest first.
func (c *Client) Notifications(ctx context.Context) ([]Notification, error) {
	var out struct {
		Notifications []Notification `json:"notifications"`
	}
	err := c.get(ctx, "/api/notifications", nil, &out)
	return out.Notifications, err
}

// DeleteNotification forgets a channel.
func (c *Client) DeleteNotification(ctx context.Context, id string) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: "/api/notifications/" + url.PathEscape(id)}, nil)
	return err
}

// Deliveries lists what a channel was sent, newest first; limit 0 means the default.
func (c *Client) Deliveries(ctx context.Context, id string, limit int) ([]Delivery, error) {
	q := url.Values{}
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var out struct {
		Deliveries []Delivery `json:"deliveries"`
	}
	err := c.get(ctx, "/api/notifications/"+url.PathEscape(id)+"/deliveries", q, &out)
	return out.Deliveries, err
}

// TestNotification sends a test.
func (c *Client) TestNotification(ctx context.Context, id string) (out Delivery, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/api/notifications/" + url.PathEscape(id) + "/test"}, &out)
	return out, err
}
