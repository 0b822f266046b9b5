package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Blueprint is one version of what tenants are made from.
type Blueprint struct {
	ID        string    `json:"id"` // name@version
	Name      string    `json:"name"`
	Version   int       `json:"version"`
	Hash      string    `json:"hash"` // of the source; "" for who does not see all of it
	CreatedAt time.Time `json:"createdAt"`
	CreatedBy *string   `json:"createdBy"`
	Newest    bool      `json:"newest"`           // of its name
	Tenants   int       `json:"tenants"`          // made from it
	Source    string    `json:"source,omitempty"` // in the answer of Blueprint only
}

// AppliedBlueprint is the answer to ApplyBlueprint.
type AppliedBlueprint struct {
	Blueprint
	Unchanged bool `json:"unchanged"` // the newest version was the same already
}

// Finding is one thing that is wrong with a blueprint.
type Finding struct {
	Path string `json:"path"` // such as services.web.privileged
	Line int    `json:"line"` // from 1; 0 if not known
	Kind string `json:"kind"` // "invalid", "forbidden" or "not supported yet"
	Rule string `json:"rule"`
	Hint string `json:"hint"`
}

// BlueprintList is a page of versions, by name, newest first.
type BlueprintList struct {
	Blueprints []Blueprint `json:"blueprints"`
	NextCursor *string     `json:"nextCursor"` // nil after the last page
}

// Blueprints lists every version, without its source.
func (c *Client) Blueprints(ctx context.Context, cursor string, limit int) (out BlueprintList, err error) {
	err = c.get(ctx, "/api/blueprints", page(cursor, limit), &out)
	return out, err
}

// Blueprint returns a version with its source, the newest for 0.
func (c *Client) Blueprint(ctx context.Context, name string, version int) (out Blueprint, err error) {
	q := url.Values{}
	if version != 0 {
		q.Set("version", strconv.Itoa(version))
	}
	err = c.get(ctx, "/api/blueprints/"+url.PathEscape(name), q, &out)
	return out, err
}

// ApplyBlueprint stores a compose file with x-berth as the next version of its
// name. No tenant changes. What is wrong with it is in the Error's Findings.
func (c *Client) ApplyBlueprint(ctx context.Context, source []byte) (out AppliedBlueprint, err error) {
	in := struct {
		Source string `json:"source"`
	}{string(source)}
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/api/blueprints", in: in}, &out)
	return out, err
}

// ComposeFiles says where a tenant's rendered files lie on Berth's machine.
type ComposeFiles struct {
	ComposePath string `json:"composePath"`
	EnvPath     string `json:"envPath"`
}

// WriteComposeEnv has Berth write the tenant's variables in clear beside its
// compose file. They do not travel: only the paths are answered.
func (c *Client) WriteComposeEnv(ctx context.Context, org string) (out ComposeFiles, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: tenantPath(org, "compose", "env")}, &out)
	return out, err
}
