package client

import (
	"context"
	"net/http"
	"net/url"
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

// NotificationList is a page of channels, oldest first.
type NotificationList struct {
	Notifications []Notification `json:"notifications"`
	NextCursor    *string        `json:"nextCursor"` // nil after the last page
}

// Notifications lists the channels.
func (c *Client) Notifications(ctx context.Context, cursor string, limit int) (out NotificationList, err error) {
	err = c.get(ctx, "/api/notifications", page(cursor, limit), &out)
	return out, err
}

// DeleteNotification forgets a channel.
func (c *Client) DeleteNotification(ctx context.Context, id string) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: "/api/notifications/" + url.PathEscape(id)}, nil)
	return err
}

// DeliveryList is a page of deliveries, newest first.
type DeliveryList struct {
	Deliveries []Delivery `json:"deliveries"`
	NextCursor *string    `json:"nextCursor"` // nil after the last page
}

// Deliveries lists what a channel was sent.
func (c *Client) Deliveries(ctx context.Context, id, cursor string, limit int) (out DeliveryList, err error) {
	err = c.get(ctx, "/api/notifications/"+url.PathEscape(id)+"/deliveries", page(cursor, limit), &out)
	return out, err
}

// TestNotification sends a test.
func (c *Client) TestNotification(ctx context.Context, id string) (out Delivery, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/api/notifications/" + url.PathEscape(id) + "/test"}, &out)
	return out, err
}
