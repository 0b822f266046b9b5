package tenancy

import (
	"context"
	"slices"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// BlueprintUse is one version of a blueprint and who runs it.
type BlueprintUse struct {
	berth.BlueprintVersion      // in a list without Source
	Newest                 bool // of its name
	Tenants                int  // living ones made from it
}

// ApplyBlueprint stores a blueprint as the next version of its name. created is
// false if the newest version is the same already, whatever rules came since.
// No tenant changes: each stays as it is until it is deployed.
func (s *Service) ApplyBlueprint(ctx context.Context, actor berth.Actor, source []byte) (v berth.BlueprintVersion, created bool, err error) {
	if err := authoriseInstallation(actor, action.ApplyBlueprint); err != nil {
		return v, false, err
	}
	name, refused := s.config.Examine(source)
	if name == "" {
		return v, false, refused
	}
	if name == berth.BuiltinBlueprint && actor != berth.System() {
		return v, false, berth.Errorf(berth.CodeInvalidRequest, "The name %s belongs to the blueprint that comes with Berth", name).
			WithField("name").WithHint("give the file another name: in its first line")
	}
	err = s.store.InTx(ctx, actor, func(tx store.Tx) error {
		newest, err := tx.Blueprint(ctx, name, 0)
		if err != nil && !berth.Is(err, berth.CodeBlueprintNotFound) {
			return err
		}
		v = berth.BlueprintVersion{
			Name: name, Version: newest.Version + 1, Hash: berth.BlueprintHash(source), Source: source,
			CreatedAt: s.now(), CreatedBy: actor.ID,
		}
		if created = newest.Hash != v.Hash; !created {
			v = newest
			return nil
		}
		if refused != nil {
			return refused
		}
		if err := tx.InsertBlueprint(ctx, v); err != nil {
			return err
		}
		applied := action.Change{At: s.now(), Target: v.ID(), After: blueprintEntry{v.Version, v.Hash}}
		if newest.Version > 0 {
			applied.Before = blueprintEntry{newest.Version, newest.Hash}
		}
		return action.ApplyBlueprint.Record(ctx, tx, actor, applied)
	})
	return v, created, err
}

// blueprintEntry is a blueprint's version as the audit shows it.
type blueprintEntry struct {
	Version int    `json:"version"`
	Hash    string `json:"hash"` // of the source, which everybody may read
}

// Blueprints returns a page of all versions, by name, newest first. An
// organization sees those of the names that its tenants are made from.
func (s *Service) Blueprints(ctx context.Context, actor berth.Actor, p store.Page) (page []BlueprintUse, next string, err error) {
	if err := authoriseOwn(actor, action.Blueprints); err != nil {
		return nil, "", err
	}
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		see, err := s.visible(ctx, tx, actor)
		if err != nil {
			return err
		}
		var versions []berth.BlueprintVersion
		within := p.Cursor != ""
		for at := p; ; at.Cursor = next { // a page that would be empty gives way to the next
			if versions, next, err = tx.ListBlueprints(ctx, at); err != nil {
				return err
			}
			versions = slices.DeleteFunc(versions, func(v berth.BlueprintVersion) bool { return !see.name(v.Name) })
			if len(versions) > 0 || next == "" {
				break
			}
		}
		page, err = inUse(ctx, tx, versions, within)
		for i := range page {
			page[i].Hash = see.hash(page[i].Hash)
		}
		return err
	})
	return page, next, err
}

// visibility is what an actor sees of blueprints.
type visibility struct {
	all    bool            // names
	names  map[string]bool // if not all
	source func([]byte) []byte
	whole  bool // the source is shown as it is
}

// hash is the hash of a source as it may be seen: by that of what is hidden a
// guess could be confirmed.
func (s visibility) hash(of string) string {
	if !s.whole {
		return ""
	}
	return of
}

func (s visibility) name(name string) bool { return s.all || s.names[name] }

// visible tells what an actor sees of blueprints: an organization sees those that
// its tenants are made from, and only who may change blueprints sees literals that
// look like secrets.
func (s *Service) visible(ctx context.Context, tx store.TenantLister, actor berth.Actor) (see visibility, err error) {
	see = visibility{all: actor.OrganizationID == "", names: map[string]bool{}, source: s.shown(actor), whole: actor.May(berth.ScopeInstallation, "", 0)}
	if see.all {
		return see, nil
	}
	used, err := tenantsByBlueprint(ctx, tx)
	for id := range used {
		if name, _, err := berth.ParseBlueprintID(id); err == nil {
			see.names[name] = true
		}
	}
	return see, err
}

// shown is how an actor sees what an operator wrote.
func (s *Service) shown(actor berth.Actor) func([]byte) []byte {
	if actor.May(berth.ScopeInstallation, "", 0) {
		return func(source []byte) []byte { return source }
	}
	return s.redacted.of
}

// blueprintUses is who runs which blueprint.
type blueprintUses interface {
	store.TenantLister
	store.Blueprints
}

// inUse tells of a part of the list who runs what. The first version of a name
// is its newest, unless the part begins within the list.
func inUse(ctx context.Context, tx blueprintUses, versions []berth.BlueprintVersion, within bool) ([]BlueprintUse, error) {
	used, err := tenantsByBlueprint(ctx, tx)
	if err != nil {
		return nil, err
	}
	newest := newestVersions(versions)
	if within && len(versions) > 0 {
		first, err := tx.Blueprint(ctx, versions[0].Name, 0)
		if err != nil {
			return nil, err
		}
		newest[first.Name] = first.Version
	}
	list := make([]BlueprintUse, 0, len(versions))
	for _, v := range versions {
		list = append(list, BlueprintUse{BlueprintVersion: v, Newest: newest[v.Name] == v.Version, Tenants: used[v.ID()]})
	}
	return list, nil
}

// tenantsByBlueprint counts the living tenants that the actor sees, by
// NAME@VERSION of the blueprint that they are made from.
func tenantsByBlueprint(ctx context.Context, tenants store.TenantLister) (map[string]int, error) {
	used := map[string]int{}
	for t, err := range store.EachTenant(ctx, tenants, store.TenantFilter{}) {
		if err != nil {
			return nil, err
		}
		used[t.Spec.Blueprint]++
	}
	return used, nil
}

func newestVersions(versions []berth.BlueprintVersion) map[string]int {
	newest := map[string]int{}
	for _, v := range versions {
		newest[v.Name] = max(newest[v.Name], v.Version)
	}
	return newest
}

// BlueprintVersion returns NAME@VERSION, or the newest version of NAME, with its
// source, and who runs it. One that the actor does not see does not exist, and
// of its source it sees what shown lets it.
func (s *Service) BlueprintVersion(ctx context.Context, actor berth.Actor, id string) (u BlueprintUse, err error) {
	if err := authoriseOwn(actor, action.Blueprint); err != nil {
		return u, err
	}
	var see visibility
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		name, version, err := berth.ParseBlueprintID(id)
		if err != nil {
			return err
		}
		if see, err = s.visible(ctx, tx, actor); err != nil {
			return err
		}
		if !see.name(name) {
			return berth.Errorf(berth.CodeBlueprintNotFound, "Blueprint not found").
				WithHint("no blueprint %s; list the blueprints to see what there is", berth.Quote(id))
		}
		v, err := tx.Blueprint(ctx, name, version)
		if err != nil {
			return err
		}
		one, err := inUse(ctx, tx, []berth.BlueprintVersion{v}, true)
		if err == nil {
			u = one[0]
		}
		return err
	})
	if err == nil {
		u.Source, u.Hash = see.source(u.Source), see.hash(u.Hash)
	}
	return u, err
}

func findBlueprint(ctx context.Context, tx store.Blueprints, id string) (berth.BlueprintVersion, error) {
	name, version, err := berth.ParseBlueprintID(id)
	if err != nil {
		return berth.BlueprintVersion{}, err
	}
	return tx.Blueprint(ctx, name, version)
}

// Behind tells by organization id which of the tenants run an older version of
// their blueprint than the newest.
func (s *Service) Behind(ctx context.Context, tenants []berth.Tenant) (behind map[string]bool, err error) {
	behind = make(map[string]bool, len(tenants))
	err = s.store.View(ctx, berth.System(), func(tx store.Tx) error {
		versions, _, err := tx.ListBlueprints(ctx, store.Page{Limit: store.Unbounded})
		newest := newestVersions(versions)
		for _, t := range tenants {
			name, version, bad := berth.ParseBlueprintID(t.Spec.Blueprint)
			behind[t.OrganizationID] = bad == nil && version < newest[name]
		}
		return err
	})
	return behind, err
}

// choose finds the blueprint that a tenant is to be made from, and its
// name@version.
func (s *Service) choose(ctx context.Context, tx store.Blueprints, id string) (Blueprint, string, error) {
	v, err := findBlueprint(ctx, tx, id)
	if err != nil {
		return nil, "", err
	}
	b, err := s.catalog.Read(v)
	return b, v.ID(), err
}

// checkSpec checks what an order made of a tenant against its blueprint.
func (s *Service) checkSpec(ctx context.Context, tx store.Blueprints, t berth.Tenant, values map[string]string) error {
	b, err := s.catalog.Get(ctx, tx, t.Spec.Blueprint)
	if err != nil {
		return err
	}
	return b.Check(t.Spec, values)
}

// blueprintVolumes are blueprints, and the volumes that tenants have of them.
type blueprintVolumes interface {
	store.Blueprints
	store.Volumes
}

// upgrade moves a tenant to another version of a blueprint, or to another one.
// An image tag that the tenant was given by the old blueprint's default follows
// the new one's.
func (s *Service) upgrade(ctx context.Context, tx blueprintVolumes, t *berth.Tenant, asked *string) (Blueprint, error) {
	id, _, err := berth.ParseBlueprintID(t.Spec.Blueprint)
	if err != nil {
		return nil, err
	}
	set(&id, asked)
	next, nextID, err := s.choose(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if before, err := s.catalog.Get(ctx, tx, t.Spec.Blueprint); err == nil && t.Spec.ImageTag == before.Defaults().ImageTag {
		t.Spec.ImageTag = next.Defaults().ImageTag
	}
	t.Spec.Blueprint, t.Spec.InternalPort = nextID, next.Defaults().Port
	return next, s.recordVolumes(ctx, tx, t.OrganizationID, next, true)
}

// Mounts are the volumes that a tenant's blueprint gives it. There are none of
// a blueprint that this Berth can't read: what became of the tenant says so.
func (s *Service) Mounts(ctx context.Context, t berth.Tenant) (mounts []berth.VolumeRecord) {
	if b, ok := s.catalog.Known(t.Spec.Blueprint); ok { // no transaction for each tenant of a list
		return b.Volumes(t.OrganizationID)
	}
	_ = s.store.View(ctx, berth.System(), func(tx store.Tx) error {
		b, err := s.catalog.Get(ctx, tx, t.Spec.Blueprint)
		if err == nil {
			mounts = b.Volumes(t.OrganizationID)
		}
		return err
	})
	return mounts
}
