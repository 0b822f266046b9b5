package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/tenancy"
)

// A blueprint of up to maxSource bytes is taken, in a body of up to
// maxBlueprintBody: in JSON, each line break is two bytes.
const (
	maxSource        = 1 << 20
	maxBlueprintBody = 2 << 20
	blueprintPath    = "/api/blueprints"
)

type blueprintWire struct {
	ID        string    `json:"id" doc:"name@version, which tenants and deployments name"`
	Name      string    `json:"name"`
	Version   int       `json:"version" doc:"from 1"`
	Hash      string    `json:"hash,omitempty" doc:"of the source; only for who sees all of it"`
	CreatedAt time.Time `json:"createdAt"`
	CreatedBy *string   `json:"createdBy"`
	Newest    bool      `json:"newest" doc:"whether it is the newest of its name"`
	Tenants   int       `json:"tenants" doc:"how many are made from it"`
}

type blueprintList struct {
	Blueprints []blueprintWire `json:"blueprints"`
	NextCursor *string         `json:"nextCursor"`
}

type blueprintSource struct {
	blueprintWire
	Source string `json:"source" doc:"the compose file as it was applied"`
}

type blueprintBody struct {
	Source string `json:"source" doc:"a compose file with x-berth; 1 MiB or less"`
}

type blueprintAppliedWire struct {
	blueprintWire
	Unchanged bool `json:"unchanged,omitempty" doc:"the newest version was the same already"`
}

type blueprintApplied struct {
	Status int
	Body   blueprintAppliedWire
}

type blueprintInput struct {
	Name    string `path:"name"`
	Version int    `query:"version" minimum:"1" doc:"the newest if left out"`
}

type composeFilesWire struct {
	ComposePath string `json:"composePath"`
	EnvPath     string `json:"envPath" doc:"holds the tenant's variables in clear; only its owner can read it"`
}

// envInput is a request that takes no fields, about one tenant.
type envInput struct {
	Target
	BareInput
}

func blueprintOf(u tenancy.BlueprintUse) blueprintWire {
	return blueprintWire{
		ID: u.ID(), Name: u.Name, Version: u.Version, Hash: u.Hash, CreatedAt: u.CreatedAt, CreatedBy: orNull(u.CreatedBy),
		Newest: u.Newest, Tenants: u.Tenants,
	}
}

// blueprintRoutes are about what tenants are made from.
func (s *server) blueprintRoutes() {
	secured(s, operation(http.MethodGet, blueprintPath, "blueprints", "Every version of every blueprint, by name, newest first"), func(ctx context.Context, actor berth.Actor, in *PageInput) (*body[blueprintList], error) {
		page, next, err := s.Service.Blueprints(ctx, actor, in.page())
		out := blueprintList{Blueprints: []blueprintWire{}, NextCursor: orNull(next)}
		for _, u := range page {
			out.Blueprints = append(out.Blueprints, blueprintOf(u))
		}
		return &body[blueprintList]{out}, err
	})
	secured(s, operation(http.MethodGet, blueprintPath+"/{name}", "blueprint", "One version of a blueprint, with its source"), func(ctx context.Context, actor berth.Actor, in *blueprintInput) (*body[blueprintSource], error) {
		id := in.Name
		if in.Version != 0 {
			id += "@" + strconv.Itoa(in.Version)
		}
		v, err := s.Service.BlueprintVersion(ctx, actor, id)
		if err != nil {
			return nil, err
		}
		return &body[blueprintSource]{blueprintSource{blueprintOf(v), string(v.Source)}}, nil
	})
	apply := s.takes(operation(http.MethodPost, blueprintPath, "apply-blueprint", "Store a blueprint as the next version of its name; 200 if the newest is the same"), blueprintBody{})
	apply.DefaultStatus, apply.MaxBodyBytes = http.StatusCreated, maxBlueprintBody+1
	secured(s, apply, s.applyBlueprint)
	env := operation(http.MethodPost, tenantPath+"/compose/env", "compose-env", "Write the tenant's variables in clear beside its compose file, on Berth's own machine, so that compose can run it without Berth")
	env.Tags = []string{"tenants"}
	secured(s, s.takes(env, emptyBody{}), func(ctx context.Context, actor berth.Actor, in *envInput) (*body[composeFilesWire], error) {
		if err := in.empty(); err != nil {
			return nil, err
		}
		compose, env, err := s.Service.WriteComposeEnv(ctx, actor, in.Ref)
		return &body[composeFilesWire]{composeFilesWire{compose, env}}, err
	})
}

func (s *server) applyBlueprint(ctx context.Context, actor berth.Actor, in *RawInput) (*blueprintApplied, error) {
	var b blueprintBody
	if err := decode(in.RawBody, &b); err != nil {
		return nil, err
	}
	if len(b.Source) > maxSource {
		return nil, berth.Errorf(berth.CodeTooLarge, "Blueprint is too large").WithField("source").
			WithHint("a blueprint may have %d bytes; this one has %d", maxSource, len(b.Source))
	}
	v, created, err := s.Service.ApplyBlueprint(ctx, actor, []byte(b.Source))
	if err != nil {
		return nil, err
	}
	u, err := s.Service.BlueprintVersion(ctx, actor, v.ID())
	out := blueprintApplied{http.StatusCreated, blueprintAppliedWire{blueprintOf(u), !created}}
	if !created {
		out.Status = http.StatusOK
	}
	return &out, err
}

// behind tells by organization id whether tenants run an older version of
// their blueprint than the newest; nothing of those of which it isn't known.
func (s *server) behind(ctx context.Context, tenants ...berth.Tenant) map[string]bool {
	known, err := s.Service.Behind(ctx, tenants)
	if err != nil {
		// The tenant is still worth showing.
		s.Log.Warn("newest blueprints could not be read", "error", err)
		return nil
	}
	return known
}
