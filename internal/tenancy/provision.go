package tenancy

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// Provision records a new tenant: its name, limits, port, subnet, volumes and
// first deployment, in one transaction.
func (s *Service) Provision(ctx context.Context, actor berth.Actor, call Call, p Provision) (Receipt, error) {
	if err := authoriseOwn(actor, action.Provision); err != nil {
		return Receipt{}, err
	}
	b, id, err := s.chosen(ctx, actor, p.Blueprint)
	if err != nil {
		return Receipt{}, err
	}
	t, err := s.newTenant(actor, p, b)
	if err != nil {
		return Receipt{}, err
	}
	t.Spec.Blueprint = id
	env, versions, err := s.sealEnvironment(t.OrganizationID, p.Environment)
	if err != nil {
		return Receipt{}, err
	}
	t.Spec.Environment = env
	if err := b.Check(t.Spec, p.Environment); err != nil {
		return Receipt{}, err
	}
	host, err := s.config.HostNetworks()
	if err != nil {
		return Receipt{}, berth.Errorf(berth.CodeInternal, "list the host's networks: %w", err)
	}
	var r Receipt
	err = s.store.InTx(ctx, actor, func(tx store.Tx) error {
		var err error
		if r, err = s.earlier(ctx, tx, actor, call); err != nil || r.Earlier {
			return err
		}
		t := t // a transaction that is run again begins anew
		if err := s.allocate(ctx, tx, &t, host, p.Slug == ""); err != nil {
			return err
		}
		if err := s.assignEngine(ctx, tx, &t); err != nil {
			return err
		}
		last, err := lastBlueprint(ctx, tx, t.OrganizationID)
		if err != nil {
			return err
		}
		leave := leaving{meant: p.LeaveData}
		if leave.list, err = s.leftBehind(ctx, tx, t.OrganizationID, last, b); err != nil {
			return err
		}
		if err := leave.refusal(t.Spec.Blueprint); err != nil {
			return err
		}
		if err := tx.InsertTenant(ctx, t); err != nil {
			return err
		}
		if err := insertSecrets(ctx, tx, versions); err != nil {
			return err
		}
		if err := s.recordVolumes(ctx, tx, t.OrganizationID, b, false); err != nil {
			return err
		}
		d := s.newDeployment(actor, call, t)
		d.Type, d.Previous, d.PreviousWant = berth.DeployProvision, nil, ""
		d.Generation, d.New, d.Want = t.Generation, t.Spec, t.Want
		if err := tx.InsertDeployment(ctx, d); err != nil {
			return err
		}
		r = s.receipt(t, d)
		if err := s.requests.Claim(ctx, tx, call.Request, d.ID); err != nil {
			return err
		}
		return action.Provision.Record(ctx, tx, actor, s.orderChange(nil, r, p.LeaveData))
	})
	if err != nil {
		return Receipt{}, err
	}
	s.link(call, r)
	s.loop.Enqueue(t.OrganizationID)
	return r, nil
}

// chosen finds the blueprint that a new tenant asks for.
func (s *Service) chosen(ctx context.Context, actor berth.Actor, asked string) (b Blueprint, id string, err error) {
	if asked == "" {
		asked = s.config.Blueprint
	}
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		b, id, err = s.choose(ctx, tx, asked)
		return err
	})
	return b, id, err
}

// newTenant checks a request and fills in the blueprint's defaults: everything
// that needs no transaction.
func (s *Service) newTenant(actor berth.Actor, p Provision, b Blueprint) (berth.Tenant, error) {
	org, err := berth.ParseOrganizationID(p.OrganizationID)
	if err != nil {
		return berth.Tenant{}, err
	}
	if err := berth.ValidateName(p.Name); err != nil {
		return berth.Tenant{}, err
	}
	defaults := b.Defaults()
	limits := defaults.Limits
	set(&limits.CPU, p.CPU)
	set(&limits.MemoryMB, p.MemoryMB)
	set(&limits.DiskMB, p.DiskMB)
	if err := limits.Validate(); err != nil {
		return berth.Tenant{}, err
	}
	replicas := defaults.Replicas
	set(&replicas, p.Replicas)
	if err := berth.ValidateReplicas(replicas); err != nil {
		return berth.Tenant{}, err
	}
	if len(p.Domains) > 0 {
		return berth.Tenant{}, noDomainsYet()
	}
	slug := p.Slug
	if slug == "" {
		slug = berth.SlugFrom(p.Name, org)
	} else if err := berth.ValidateSlug(slug); err != nil {
		return berth.Tenant{}, err
	}
	tag := p.ImageTag
	if tag == "" {
		tag = defaults.ImageTag
	}
	if _, err := b.Image(tag); err != nil {
		return berth.Tenant{}, err
	}
	if err := berth.ValidateEnvironment(p.Environment); err != nil {
		return berth.Tenant{}, err
	}
	want := berth.WantStopped
	if p.Start {
		want = berth.WantRunning
	}
	now := s.now()
	return berth.Tenant{
		ID: berth.NewID(), OrganizationID: org, Name: p.Name, Slug: slug,
		Want: want, Generation: 1, Status: berth.StatusProvisioning, Health: berth.HealthUnknown,
		Spec: berth.Spec{
			ImageTag: tag, Limits: limits.Rounded(), Replicas: replicas, InternalPort: defaults.Port, Release: 1,
		},
		CreatedAt: now, UpdatedAt: now, CreatedBy: actor.ID,
	}, nil
}

// allocate gives t what only one living tenant may have: port, subnet and slug.
func (s *Service) allocate(ctx context.Context, tx store.Tenants, t *berth.Tenant, host []netip.Prefix, makeSlug bool) error {
	taken, err := tx.TakenPorts(ctx)
	if err != nil {
		return err
	}
	if t.ExternalPort, err = s.freePort(taken); err != nil {
		return err
	}
	t.URL = "http://" + s.config.PublicHost + ":" + strconv.Itoa(t.ExternalPort)
	subnets, err := tx.TakenSubnets(ctx)
	if err != nil {
		return err
	}
	if t.Subnet, err = berth.FreeSubnet(s.config.Pool, append(subnets, host...)); err != nil {
		return err
	}
	if !makeSlug {
		return nil
	}
	base := t.Slug
	for n := 2; ; n++ {
		other, err := tx.Tenant(ctx, t.Slug)
		if berth.Is(err, berth.CodeContainerNotFound) || err == nil && other.OrganizationID == t.OrganizationID {
			return nil
		}
		if err != nil {
			return err
		}
		t.Slug = base + "-" + strconv.Itoa(n)
	}
}

// freePort returns the smallest port in range that no tenant has, that is not
// reserved, and that the host has not in use. taken is ascending.
func (s *Service) freePort(taken []int) (int, error) {
	used := make(map[int]bool, len(taken)+len(s.config.ReservedPorts))
	for _, p := range append(taken, s.config.ReservedPorts...) {
		used[p] = true
	}
	for port := s.config.FirstPort; port <= s.config.LastPort; port++ {
		if !used[port] && s.ports.PortFree(port) {
			return port, nil
		}
	}
	return 0, berth.Errorf(berth.CodeNoPorts, "No available ports in valid range").
		WithHint("%d-%d are all taken by tenants, reserved, or in use on the host; deprovision a tenant, or serve with a wider --ports", s.config.FirstPort, s.config.LastPort)
}

// recordVolumes writes down the volumes that the tenant will have before they
// are made. Those that an earlier tenant of the organization left are found
// again. At provisioning they are no longer kept aside; for an order that can be
// taken back, the loop records that once it has carried the order out.
func (s *Service) recordVolumes(ctx context.Context, tx store.Volumes, organizationID string, b Blueprint, changing bool) error {
	have, _, err := tx.ListVolumes(ctx, organizationID, store.Page{Limit: store.Unbounded})
	if err != nil {
		return err
	}
	known := make(map[string]berth.VolumeRecord, len(have))
	for _, v := range have {
		known[v.Name] = v
	}
	for _, v := range b.Volumes(organizationID) {
		if old, ok := known[v.Name]; ok {
			v.CreatedAt, v.EngineID = old.CreatedAt, old.EngineID
			if changing {
				v.KeptAt = old.KeptAt
			}
		}
		delete(known, v.Name)
		if err := tx.PutVolume(ctx, v); err != nil {
			return err
		}
	}
	for _, v := range known { // what images declare no blueprint names: it is found again by whoever runs one
		if _, ofImage := berth.ImageVolumeTarget(v.Name); !ofImage || v.KeptAt.IsZero() {
			continue
		}
		v.KeptAt = time.Time{}
		if err := tx.PutVolume(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

func noDomainsYet() error {
	return berth.Errorf(berth.CodeNotSupportedYet, "Domains are not supported yet").WithField("domains").
		WithHint("leave domains out; the tenant is reached through its external port")
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}
