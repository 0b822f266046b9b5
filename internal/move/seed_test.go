package move_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

var noon = time.Date(2026, 2, 28, 12, 0, 0, 123456000, time.UTC)

// odd is text that has been somebody's trouble before.
const odd = `O'Neil "q" \ \N \. 	tab` + "\r\nline ` $1 %s ; -- 日本 🚢 שלום é e\u0301 <&>\u2028"

// broken can't be kept by PostgreSQL as it is.
const broken = "log: \x00 \xff end " + odd

func orgID(n int) string { return fmt.Sprintf("550e8400-e29b-41d4-a716-%012x", n) }
func id(n int) string    { return fmt.Sprintf("11111111-0000-4000-8000-%012x", n) }

func digest(n int) []byte {
	sum := sha256.Sum256([]byte{byte(n >> 8), byte(n)})
	return sum[:]
}

// bytes are all 256, after a few that COPY could take for something else.
func allBytes() []byte {
	b := []byte("\\x00\\N\n\t\\.\n")
	for i := range 256 {
		b = append(b, byte(i))
	}
	return b
}

func spec(n int) berth.Spec {
	return berth.Spec{
		ImageTag: fmt.Sprintf("v%d", n), ImageDigest: fmt.Sprintf("repo@sha256:%064d", n), Blueprint: "shop@2", Release: n,
		Images: map[string]string{"db": "db@sha256:1", odd: odd}, Limits: berth.Limits{CPU: 0.07, MemoryMB: 512, DiskMB: 2048},
		Replicas: 2, InternalPort: 3000, Environment: map[string]string{"KEY": id(1), odd: id(2)},
	}
}

func tenant(n int) berth.Tenant {
	return berth.Tenant{
		ID: id(100 + n), OrganizationID: orgID(n), Name: fmt.Sprintf("Tenant %d %s", n, odd), Slug: fmt.Sprintf("tenant-%d", n), EngineID: "engine-1",
		Subnet:       netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64, byte(n >> 4), byte(n << 4)}), 28),
		ExternalPort: 3000 + n, URL: "http://localhost", Want: berth.WantRunning, Spec: spec(n), Generation: 3, Released: 2,
		Status: berth.StatusRunning, Health: berth.HealthHealthy, Cause: broken, ContainerID: fmt.Sprintf("c%064d", n),
		LastStartedAt: noon.Add(time.Second), LastStoppedAt: noon.Add(2 * time.Second), CreatedAt: noon, UpdatedAt: noon.Add(time.Hour), CreatedBy: id(10),
	}
}

func deployment(n berth.Tenant, i int, s berth.DeploymentStatus) berth.Deployment {
	d := berth.Deployment{
		ID: id(1000*i + n.ExternalPort), TenantID: n.ID, OrganizationID: n.OrganizationID, Type: berth.DeployUpdate, Status: s, Generation: i,
		New: spec(i), Want: berth.WantRunning, By: "token-1", Notes: odd, CreatedAt: noon.Add(time.Duration(i) * time.Minute),
	}
	if i > 1 {
		before := spec(i - 1)
		d.Previous, d.PreviousWant, d.RollbackOf, d.Type, d.By = &before, berth.WantStopped, id(1000+n.ExternalPort), berth.DeployRollback, id(10)
	}
	if s != berth.DeploymentPending {
		d.CanRollback, d.Error, d.StartedAt, d.CompletedAt = true, broken, noon, noon.Add(time.Second)
		d.Steps = []berth.DeploymentStep{{Name: odd, StartedAt: noon, EndedAt: noon.Add(time.Nanosecond), Error: broken}, {Name: "next", StartedAt: noon}}
	}
	return d
}

// seed writes everything that a store can hold.
func seed(t testing.TB, s store.Store) {
	t.Helper()
	for _, part := range []func(context.Context, store.Tx) error{people, tenants, observed, told, ordered} {
		if err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error { return part(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
	}
}

// all returns the first error of steps.
func all(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func people(ctx context.Context, tx store.Tx) error {
	later := noon.Add(24 * time.Hour)
	return all(
		func() error { return tx.SetKeyMark(ctx, allBytes()) },
		func() error {
			return tx.PutOrganization(ctx, berth.Organization{ID: orgID(9), Name: odd, SelfService: berth.SelfService, CreatedAt: noon})
		},
		func() error {
			return tx.PutOrganization(ctx, berth.Organization{ID: orgID(1), Name: "One", CreatedAt: noon})
		},
		func() error {
			return tx.PutUser(ctx, berth.User{ID: id(10), Email: "Ädä@Example.COM", Name: odd, Operator: true, CreatedAt: noon})
		},
		func() error {
			return tx.PutUser(ctx, berth.User{ID: id(11), Email: "b@example.com", Name: "B", CreatedAt: noon, DisabledAt: later})
		},
		func() error {
			return tx.PutIdentity(ctx, berth.Identity{Issuer: "https://id.example", Subject: odd, UserID: id(10)})
		},
		func() error {
			return tx.PutMembership(ctx, berth.Membership{UserID: id(10), OrganizationID: orgID(1), Role: berth.RoleAdmin, CreatedAt: noon})
		},
		func() error {
			return tx.PutMembership(ctx, berth.Membership{UserID: id(11), OrganizationID: orgID(9), Role: berth.RoleDeployer, CreatedAt: later})
		},
		func() error {
			return tx.InsertSession(ctx, berth.Session{ID: id(12), Hash: digest(12), UserID: id(10), Address: "::1", CreatedAt: noon, ExpiresAt: later, LastSeenAt: noon})
		},
		func() error {
			return tx.InsertSession(ctx, berth.Session{ID: id(13), Hash: digest(13), UserID: id(11), CreatedAt: noon, ExpiresAt: later, RevokedAt: later})
		},
		func() error {
			return tx.InsertInvitation(ctx, berth.Invitation{ID: id(14), Hash: digest(14), Email: "c@example.com", OrganizationID: orgID(9), Role: berth.RoleMember, CreatedBy: id(10), CreatedAt: noon, ExpiresAt: later})
		},
		func() error {
			return tx.InsertInvitation(ctx, berth.Invitation{ID: id(15), Hash: digest(15), Email: "b@example.com", Role: berth.RoleOperator, CreatedAt: noon, ExpiresAt: later, AcceptedAt: noon, AcceptedBy: id(11)})
		},
		func() error {
			return tx.InsertToken(ctx, berth.Token{ID: "token-1", Name: odd, Prefix: "berth_1", Hash: digest(1), Role: berth.RoleOperator, CreatedAt: noon, LastUsedAt: later})
		},
		func() error {
			return tx.InsertToken(ctx, berth.Token{ID: id(16), Name: "b", Prefix: "berth_2", Hash: digest(2), Role: berth.RoleDeployer, OrganizationID: orgID(9),
				Scopes: berth.ScopeRead | berth.ScopeDeploy, CreatedBy: id(10), CreatedAt: noon, ExpiresAt: later, RevokedAt: later})
		},
	)
}

func tenants(ctx context.Context, tx store.Tx) error {
	for n := 1; n <= 3; n++ {
		t := tenant(n)
		v := berth.VolumeRecord{OrganizationID: t.OrganizationID, Name: berth.VolumeName(t.OrganizationID, "data"), Mount: "/data " + odd, EngineID: "engine-1", CreatedAt: noon}
		err := all(
			func() error { return tx.InsertTenant(ctx, t) },
			func() error { return tx.PutVolume(ctx, v) },
			func() error { return tx.InsertDeployment(ctx, deployment(t, 1, berth.DeploymentCompleted)) },
			func() error { return tx.InsertDeployment(ctx, deployment(t, 2, berth.DeploymentFailed)) },
			func() error { return tx.InsertDeployment(ctx, deployment(t, 3, berth.DeploymentPending)) },
		)
		if err != nil {
			return err
		}
	}
	// The second is a tombstone, whose organization has another tenant by now.
	gone, err := tx.Tenant(ctx, orgID(2))
	if err != nil {
		return err
	}
	over := deployment(gone, 3, berth.DeploymentSuperseded)
	again := tenant(2)
	again.ID, again.ExternalPort, again.ContainerID, again.Want = id(500), 3500, "", berth.WantStopped
	return all(
		func() error { return tx.UpdateDeployment(ctx, over) },
		func() error {
			gone.Want, gone.Status, gone.DeprovisionedAt, gone.ContainerID = berth.WantGone, berth.StatusStopped, noon.Add(time.Hour), ""
			return tx.UpdateTenant(ctx, &gone)
		},
		func() error {
			return tx.PutVolume(ctx, berth.VolumeRecord{OrganizationID: orgID(2), Name: "old", Mount: "/old", KeptAt: noon, DeletedAt: noon})
		},
		func() error { return tx.InsertTenant(ctx, again) },
		func() error {
			return tx.InsertSecret(ctx, store.SecretVersion{ID: id(1), OrganizationID: orgID(1), Name: odd, Ciphertext: allBytes(), CreatedAt: noon})
		},
		func() error {
			return tx.PutCredential(ctx, store.StoredCredential{Registry: "r.example:5000", Username: odd, Ciphertext: allBytes(), UpdatedAt: noon})
		},
		func() error {
			return tx.InsertBlueprint(ctx, berth.BlueprintVersion{Name: "shop", Version: 1, Hash: "h1", Source: []byte{}, CreatedAt: noon})
		},
		func() error {
			return tx.InsertBlueprint(ctx, berth.BlueprintVersion{Name: "shop", Version: 2, Hash: "h2", Source: allBytes(), CreatedAt: noon, CreatedBy: "token-1"})
		},
		func() error {
			if _, err := tx.InsertForeign(ctx, store.ForeignObject{EngineID: "engine-1", Kind: "volume", ID: "v", FoundAt: noon}); err != nil {
				return err
			}
			return tx.PutImage(ctx, berth.PulledImage{EngineID: "engine-1", Pin: "p@sha256:1", Reference: "p:1", PulledAt: noon})
		},
	)
}

func observed(ctx context.Context, tx store.Tx) error {
	for n := 1; n <= 3; n++ {
		if err := tx.RecordProbes(ctx, []berth.Probe{
			{OrganizationID: orgID(n), CheckedAt: noon.Add(time.Duration(n) * time.Second), Status: berth.ProbeHealthy, ResponseTime: 3 * time.Millisecond, HTTPStatus: 200,
				Type: "http", Endpoint: odd, CPUPercent: berth.Known(12.345), MemoryMB: berth.Known(1 << 20), DiskMB: berth.Known(0)},
			{OrganizationID: orgID(n), CheckedAt: noon, Status: berth.ProbeTimeout, Cause: broken},
		}); err != nil {
			return err
		}
		full := berth.Usage{
			OrganizationID: orgID(n), Resolution: berth.ByHour, Start: noon, End: noon.Add(time.Hour),
			CPUPercentAvg: berth.Known(12.5), CPUPercentMax: berth.Known(1234.565), Throttled: berth.Known[int64](7),
			MemoryAvg: berth.Known[int64](123_456_789), MemoryMax: berth.Known[int64](1 << 33), MemoryLimit: berth.Known[int64](512 << 20),
			OOMKills: berth.Known[int64](0), NetworkRx: berth.Known[int64](1 << 62), NetworkTx: berth.Known[int64](5), Disk: berth.Known[int64](99),
			DiskRead: berth.Known[int64](4096), DiskWritten: berth.Known[int64](1), Requests: berth.Known[int64](100), Errors: berth.Known[int64](3),
			ResponseTime: berth.Known(12345 * time.Microsecond), Samples: 4,
		}
		empty := berth.Usage{OrganizationID: orgID(n), Resolution: berth.ByMinute, Start: noon, End: noon.Add(time.Minute), CPUPercentAvg: berth.Known(1.0 / 3)}
		if err := tx.PutUsage(ctx, []berth.Usage{full, empty}); err != nil {
			return err
		}
	}
	return all(
		func() error {
			return tx.PutHealth(ctx, []berth.HealthPeriod{{TenantID: id(101), OrganizationID: orgID(1), Resolution: berth.ByHour, Start: noon, Healthy: 3,
				Unhealthy: 2, Timeouts: 1, ResponseTotal: time.Second, ResponseMax: time.Millisecond}})
		},
		func() error {
			return tx.PutMarks(ctx, []berth.Mark{{OrganizationID: orgID(1), End: noon, Samples: []berth.Sample{{ContainerID: odd, At: noon, StartedAt: noon.Add(time.Nanosecond),
				CPU: berth.Known(time.Duration(1) << 60), NetworkRx: berth.Known[int64](1 << 62)}}}})
		},
	)
}

func told(ctx context.Context, tx store.Tx) error {
	channel := func(n int, org string, of berth.ChannelType) store.StoredChannel {
		c := store.StoredChannel{Channel: berth.Channel{ID: id(n), OrganizationID: org, Type: of, Target: "https://x.example/" + odd, Kinds: []string{"failed", odd}, Enabled: org == "",
			CreatedAt: noon, CreatedBy: "token-1", FailingSince: noon, LastError: broken}}
		if of == berth.ChannelWebhook {
			c.Ciphertext = allBytes()
		}
		return c
	}
	event := func(n int, org string) berth.Event {
		return berth.Event{ID: id(n), OrganizationID: org, At: noon, Kind: "failed", Message: broken, DeploymentID: id(4001)}
	}
	delivery := func(n int, channel, event int) berth.Delivery {
		return berth.Delivery{ID: id(n), ChannelID: id(channel), EventID: id(event), Kind: "failed", Body: allBytes(), CreatedAt: noon, NextAt: noon, State: berth.DeliveryPending}
	}
	sent := delivery(40, 30, 20)
	sent.Attempt, sent.At, sent.StatusCode, sent.Error, sent.Duration, sent.NextAt, sent.State = 2, noon, 500, broken, time.Second, time.Time{}, berth.DeliveryFailed
	return all(
		func() error { return tx.InsertEvent(ctx, event(20, orgID(1))) },
		func() error { return tx.InsertChannel(ctx, channel(30, "", berth.ChannelWebhook)) },
		func() error { return tx.InsertEvent(ctx, event(21, "")) },
		func() error { return tx.InsertChannel(ctx, channel(31, orgID(9), berth.ChannelEmail)) },
		func() error { return tx.InsertDelivery(ctx, delivery(40, 30, 20)) },
		func() error { return tx.UpdateDelivery(ctx, sent) },
		func() error { return tx.InsertDelivery(ctx, delivery(41, 30, 21)) },
		func() error { return tx.SetOutboxSeq(ctx, 1) },
	)
}

func ordered(ctx context.Context, tx store.Tx) error {
	state, err := json.Marshal(map[string]any{"name": odd, "n": 1.50})
	if err != nil {
		return err
	}
	for i := range 12 {
		e := berth.AuditEntry{ID: id(60 + i), OrganizationID: []string{"", orgID(1), orgID(7)}[i%3], At: noon.Add(time.Duration(i)), ActorID: "token-1", ActorName: odd,
			ActorRole: berth.RoleOperator, Address: "::1", RequestID: "r1", Action: "tenant.deploy", Target: id(101), Outcome: berth.AuditDone, Before: string(state), After: "{ }"}
		if i%2 == 1 {
			e.Outcome, e.Code, e.ActorID, e.ActorName, e.ActorRole, e.Before, e.After = berth.AuditDenied, berth.CodeForbidden, "", "", "", "", ""
		}
		if err := tx.AppendAudit(ctx, &e); err != nil {
			return err
		}
	}
	return all(
		func() error {
			return tx.PutRequest(ctx, store.Request{Key: odd, Fingerprint: digest(1), DeploymentID: id(4001), Status: 200, Answer: allBytes(), CreatedAt: noon})
		},
		func() error {
			return tx.PutRequest(ctx, store.Request{Key: "open", Fingerprint: []byte{}, CreatedAt: noon})
		},
	)
}
