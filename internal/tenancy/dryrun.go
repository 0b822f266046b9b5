package tenancy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// errDry ends the transaction of an order that was only tried.
var errDry = errors.New("dry run")

// trial runs an order's transaction: for good, or to its end and then undone. So
// a dry run is refused for what the order would be refused for.
type trial struct {
	store   store.Store
	dry     bool
	before  berth.Tenant          // as it is
	secrets []store.SecretVersion // that would have been recorded
}

func (t *trial) inTx(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	if !t.dry {
		return t.store.InTx(ctx, actor, fn)
	}
	err := t.store.InTx(ctx, actor, func(tx store.Tx) error {
		t.secrets = nil
		tx.SecretVersions = secretRecorder{tx.SecretVersions, t}
		if err := fn(tx); err != nil {
			return err
		}
		return errDry
	})
	if errors.Is(err, errDry) {
		return nil
	}
	return err
}

// secretRecorder remembers the secrets of a transaction that will be undone.
type secretRecorder struct {
	store.SecretVersions
	trial *trial
}

func (r secretRecorder) InsertSecret(ctx context.Context, v store.SecretVersion) error {
	r.trial.secrets = append(r.trial.secrets, v)
	return r.SecretVersions.InsertSecret(ctx, v)
}

// addForecast adds to a receipt that is on no disk what the order would do.
func (s *Service) addForecast(ctx context.Context, r Receipt, try *trial, what ordered) (Receipt, error) {
	if s.preview == nil {
		return Receipt{}, berth.Errorf(berth.CodeNotSupportedYet, "There is no dry run here").WithHint("give the order without dryRun")
	}
	f, err := s.preview.Preview(ctx, r.Tenant, r.Deployment, try.secrets)
	if err != nil {
		return Receipt{}, err
	}
	f.Changes, f.LeftBehind = changesOf(try.before, r.Tenant), what.leave.inWords(r.Tenant.Spec.Blueprint)
	r.Forecast = &f
	return r, nil
}

// changesOf says how an order would change what a tenant is.
func changesOf(before, after berth.Tenant) (list []berth.ForecastChange) {
	changes := func(field string, from, to any) {
		if a, b := fmt.Sprint(from), fmt.Sprint(to); a != b {
			list = append(list, berth.ForecastChange{Field: field, From: a, To: b})
		}
	}
	was, is := before.Spec, after.Spec
	changes("tenantName", before.Name, after.Name)
	changes("blueprint", was.Blueprint, is.Blueprint)
	changes("imageTag", was.ImageTag, is.ImageTag)
	changes("cpuLimit", was.Limits.CPU, is.Limits.CPU)
	changes("memoryLimitMb", was.Limits.MemoryMB, is.Limits.MemoryMB)
	changes("diskLimitMb", was.Limits.DiskMB, is.Limits.DiskMB)
	changes("replicas", was.Replicas, is.Replicas)
	names := maps.Clone(was.Environment)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, is.Environment)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		from, to := was.Environment[name], is.Environment[name]
		switch field := "environment." + name; {
		case from == "":
			list = append(list, berth.ForecastChange{Field: field, To: markSet})
		case to == "":
			list = append(list, berth.ForecastChange{Field: field, From: markSet})
		case from != to:
			list = append(list, berth.ForecastChange{Field: field, From: markSet, To: markChanged})
		}
	}
	return list
}
