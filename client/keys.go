package client

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Key is one of the keys that encrypt what is stored, without the key itself.
type Key struct {
	ID        uint32     `json:"id"`
	CreatedAt *time.Time `json:"createdAt"` // nil: before times were kept
	Primary   bool       `json:"primary"`   // encrypts; the others only decrypt
	Missing   bool       `json:"missing"`   // values name it, and the key file does not hold it
	Sealed    int        `json:"sealed"`    // stored values that it still opens
}

// Keys lists the keys, oldest first.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	var out struct {
		Keys []Key `json:"keys"`
	}
	err := c.get(ctx, "/api/keys", nil, &out)
	return out.Keys, err
}

// RotateKey makes a key that encrypts from now on.
func (c *Client) RotateKey(ctx context.Context) (out Key, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/api/keys/rotate"}, &out)
	return out, err
}

// RetireKey removes a key that nothing is sealed under.
func (c *Client) RetireKey(ctx context.Context, id uint32) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: "/api/keys/" + strconv.FormatUint(uint64(id), 10)}, nil)
	return err
}
