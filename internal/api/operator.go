package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
)

type volumeWire struct {
	Name           string     `json:"name"`
	OrganizationID string     `json:"organizationId"`
	Mount          string     `json:"mount"`
	EngineID       *string    `json:"engineId"`
	CreatedAt      *time.Time `json:"createdAt"`
	KeptAt         *time.Time `json:"keptAt" doc:"when its tenant was deprovisioned without it; null while in use"`
}

type volumeList struct {
	Volumes    []volumeWire `json:"volumes"`
	NextCursor *string      `json:"nextCursor"`
}

type volumesInput struct {
	Organization string `query:"organizationId" doc:"only this organization's; only an operator may leave it out"`
	PageInput
}

// RawInput is a body that the handler reads.
type RawInput struct {
	RawBody []byte `contentType:"application/json"`
}

type registryWire struct {
	Registry  string    `json:"registry"`
	Username  string    `json:"username"`
	UpdatedAt time.Time `json:"updatedAt"`
}

type registryList struct {
	Registries []registryWire `json:"registries"`
	NextCursor *string        `json:"nextCursor"`
}

type registryBody struct {
	Username string `json:"username"`
	Password string `json:"password" doc:"encrypted at rest, never shown again"`
}

// RegistryInput names a registry.
type RegistryInput struct {
	Host string `path:"host"`
}

type registryPut struct {
	RegistryInput
	RawInput
}

type none struct{}

// BareInput is a request that takes no fields.
type BareInput struct{ RawInput }

func (in *BareInput) empty() error { return decode(in.RawBody, &emptyBody{}) }

func operation(method, path, id, summary string) huma.Operation {
	return huma.Operation{Method: method, Path: path, OperationID: id, Summary: summary, Tags: []string{"operator"}, MaxBodyBytes: maxBody + 1}
}

// takes describes the body of an operation that reads it itself.
func (s *server) takes(op huma.Operation, body any) huma.Operation {
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(body), true, "")
	op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
	return op
}

// operatorRoutes are about the whole installation.
func (s *server) operatorRoutes() {
	secured(s, operation(http.MethodGet, "/api/volumes", "volumes", "Every volume that Berth made and nobody ordered gone"), func(ctx context.Context, actor berth.Actor, in *volumesInput) (*body[volumeList], error) {
		page, next, err := s.Service.Volumes(ctx, actor, in.Organization, in.page())
		out := volumeList{Volumes: []volumeWire{}, NextCursor: orNull(next)}
		for _, v := range page {
			out.Volumes = append(out.Volumes, volumeWire{v.Name, v.OrganizationID, v.Mount, orNull(v.EngineID), orNullTime(v.CreatedAt), orNullTime(v.KeptAt)})
		}
		return &body[volumeList]{out}, err
	})
	secured(s, operation(http.MethodGet, "/api/events", "all-events", "What happened to any tenant outside orders, newest first"), func(ctx context.Context, actor berth.Actor, in *PageInput) (*body[eventList], error) {
		page, next, err := s.Service.Events(ctx, actor, "", in.page())
		return &body[eventList]{eventsOf(page, next)}, err
	})
	backup := s.takes(operation(http.MethodPost, "/api/backup", "backup", "A consistent copy of the database; the key that opens its secrets is not in it"), emptyBody{})
	backup.Responses = textual("application/vnd.sqlite3")
	secured(s, backup, s.backup)
	s.tokenRoutes()
	s.registryRoutes()
}

func (s *server) registryRoutes() {
	secured(s, operation(http.MethodGet, "/api/registries", "registries", "Registries that Berth can open"), func(ctx context.Context, actor berth.Actor, in *PageInput) (*body[registryList], error) {
		page, next, err := s.Service.Credentials(ctx, actor, in.page())
		out := registryList{Registries: []registryWire{}, NextCursor: orNull(next)}
		for _, c := range page {
			out.Registries = append(out.Registries, registryWire{c.Registry, c.Username, c.UpdatedAt})
		}
		return &body[registryList]{out}, err
	})
	secured(s, s.takes(operation(http.MethodPut, "/api/registries/{host}", "put-registry", "Store what opens a registry"), registryBody{}), func(ctx context.Context, actor berth.Actor, in *registryPut) (*none, error) {
		var b registryBody
		if err := decode(in.RawBody, &b); err != nil {
			return nil, err
		}
		return nil, s.Service.PutCredential(ctx, actor, berth.Credential{Registry: in.Host, Username: b.Username, Password: b.Password})
	})
	secured(s, operation(http.MethodDelete, "/api/registries/{host}", "delete-registry", "Forget what opens a registry"), func(ctx context.Context, actor berth.Actor, in *RegistryInput) (*none, error) {
		return nil, s.Service.DeleteCredential(ctx, actor, in.Host)
	})
}

// backup makes the copy in a file that lives as long as the request, so that
// its length and its checksum are known before the first byte is sent.
func (s *server) backup(ctx context.Context, actor berth.Actor, in *BareInput) (*huma.StreamResponse, error) {
	if err := in.empty(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.StateDir, "backup-")
	if err != nil {
		return nil, berth.Errorf(berth.CodeStorageUnavailable, "make room for the backup: %w", err).WithHint("check the space left on the state directory's disk")
	}
	path := filepath.Join(dir, "berth.db")
	size, sum, err := int64(0), []byte(nil), s.Service.Backup(ctx, actor, path)
	if err == nil {
		size, sum, err = digest(path)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer func() { _ = os.RemoveAll(dir) }()
		f, err := os.Open(path)
		if err != nil {
			writeHuma(hctx, s.problem(hctx.Context(), err))
			return
		}
		defer func() { _ = f.Close() }()
		hctx.SetHeader("Content-Type", "application/vnd.sqlite3")
		hctx.SetHeader("Content-Length", strconv.FormatInt(size, 10))
		hctx.SetHeader("Digest", "sha-256="+base64.StdEncoding.EncodeToString(sum))
		_, _ = io.Copy(hctx.BodyWriter(), f) // a client that misses the end knows by the length
	}}, nil
}

func digest(path string) (size int64, sum []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return size, h.Sum(nil), err
}
