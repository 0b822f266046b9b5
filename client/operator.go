package client

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ServerHealth is Berth's own health. Without a token, only Status is told.
type ServerHealth struct {
	Status          string  `json:"status"` // "ok" or "degraded"
	Version         *string `json:"version"`
	EngineReachable *bool   `json:"engineReachable"`
	EngineID        *string `json:"engineId"`
	EngineVersion   *string `json:"engineVersion"`
	EngineRouted    *bool   `json:"engineRouted"`

	EngineFindings []EngineFinding `json:"engineFindings"`
}

// EngineFinding is one thing about the engine that matters to tenants.
type EngineFinding struct {
	Check  string `json:"check"` // what was looked at
	OK     bool   `json:"ok"`    // false where something is to be mended
	Detail string `json:"detail"`
	Hint   string `json:"hint"`
}

// ServerHealth asks Berth how it is.
func (c *Client) ServerHealth(ctx context.Context) (out ServerHealth, err error) {
	err = c.get(ctx, "/api/health", nil, &out)
	return out, err
}

// Volume is a volume that Berth made and did not delete.
type Volume struct {
	Name           string     `json:"name"`
	OrganizationID string     `json:"organizationId"`
	Mount          string     `json:"mount"`
	CreatedAt      *time.Time `json:"createdAt"` // nil until it was seen
	KeptAt         *time.Time `json:"keptAt"`    // nil while in use
}

// VolumeList is a page of volumes, by name.
type VolumeList struct {
	Volumes    []Volume `json:"volumes"`
	NextCursor *string  `json:"nextCursor"` // nil after the last page
}

// Volumes lists the volumes of an organization; of all if org is "".
func (c *Client) Volumes(ctx context.Context, org, cursor string, limit int) (out VolumeList, err error) {
	q := page(cursor, limit)
	if org != "" {
		q.Set("organizationId", org)
	}
	err = c.get(ctx, "/api/volumes", q, &out)
	return out, err
}

// Registry is a registry that Berth has a credential for.
type Registry struct {
	Host      string    `json:"registry"`
	Username  string    `json:"username"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// RegistryList is a page of registries, by host.
type RegistryList struct {
	Registries []Registry `json:"registries"`
	NextCursor *string    `json:"nextCursor"` // nil after the last page
}

// Registries lists the registries with a credential.
func (c *Client) Registries(ctx context.Context, cursor string, limit int) (out RegistryList, err error) {
	err = c.get(ctx, "/api/registries", page(cursor, limit), &out)
	return out, err
}

// PutRegistry stores a credential. The password can't be read back.
func (c *Client) PutRegistry(ctx context.Context, host, username, password string) error {
	in := struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}{username, password}
	_, err := c.do(ctx, request{method: http.MethodPut, path: "/api/registries/" + url.PathEscape(host), in: in}, nil)
	return err
}

// DeleteRegistry forgets a credential.
func (c *Client) DeleteRegistry(ctx context.Context, host string) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: "/api/registries/" + url.PathEscape(host)}, nil)
	return err
}

// Backup is a copy of the database under way. The caller closes it.
type Backup struct {
	io.ReadCloser
	Size   int64  // bytes
	SHA256 []byte // of the whole
}

// Backup streams a consistent copy of the database. The key that opens its
// secrets is not in it.
func (c *Client) Backup(ctx context.Context) (*Backup, error) {
	resp, err := c.send(ctx, request{method: http.MethodPost, path: "/api/backup", accept: "application/octet-stream"})
	if err != nil {
		return nil, err
	}
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(resp.Header.Get("Digest"), "sha-256="))
	if err != nil || len(sum) != 32 || resp.ContentLength < 0 {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("the answer is not Berth's: it does not state size and checksum")
	}
	return &Backup{ReadCloser: resp.Body, Size: resp.ContentLength, SHA256: sum}, nil
}

// OpenAPI returns the API's own description.
func (c *Client) OpenAPI(ctx context.Context) ([]byte, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/openapi.json"})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
}
