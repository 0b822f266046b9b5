package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/testbed"
)

const nextjsImage = "berth-nextjs:1"

// nextjs starts the example product on three sides, one after another in
// changing order: a real app, whose own start takes longer than all else. On
// one core, as its blueprint says, and on half of one, the seed's limit.
func (b *bench) nextjs(ctx context.Context) error {
	root, err := testbed.ModuleRoot()
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, filepath.Join(root, "scripts", "images.sh"), "nextjs").CombinedOutput(); err != nil {
		return fmt.Errorf("make the image: %w\n%s", err, out)
	}
	source, err := os.ReadFile(filepath.Join(root, "examples", "nextjs", "blueprint.yml"))
	if err != nil {
		return err
	}
	if err := b.berth.call(ctx, "POST", "/api/blueprints", object{"source": string(source)}, nil); err != nil {
		return err
	}
	for _, cores := range []float64{1, 0.5} {
		if err := b.nextjsOn(ctx, cores); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) nextjsOn(ctx context.Context, cores float64) error {
	var rawTimes, berthTimes, composeTimes sample
	sides := []func() error{
		func() error {
			start := func(ctx context.Context) (tenant, time.Duration, error) {
				return b.raw.startImage(ctx, nextjsImage, cores)
			}
			return one(ctx, &rawTimes, start, b.raw.remove)
		},
		func() error {
			start := func(ctx context.Context) (string, time.Duration, error) {
				return b.berth.startFrom(ctx, object{"blueprint": "nextjs", "cpuLimit": cores})
			}
			return one(ctx, &berthTimes, start, b.berth.remove)
		},
		func() error {
			start := func(ctx context.Context) (string, time.Duration, error) { return b.composeUp(ctx, cores) }
			return one(ctx, &composeTimes, start, composeDown)
		},
	}
	for i := range b.pick(12, 5) {
		for k := range sides {
			if err := sides[(i+k)%len(sides)](); err != nil {
				return err
			}
		}
	}
	what := fmt.Sprintf("provision + start on %.1f cores", cores)
	compare(what, rawTimes, berthTimes)
	compareWith("docker-compose up -d", what, composeTimes, berthTimes)
	return nil
}

// composeUp lets Berth render a tenant's file, takes the tenant away, and
// starts the file with docker-compose.
func (b *bench) composeUp(ctx context.Context, cores float64) (dir string, took time.Duration, err error) {
	org := berth.NewID()
	var made struct{ ExternalPort int }
	err = b.berth.call(ctx, "POST", "/api/tenants/provision?wait=60", object{
		"organizationId": org, "tenantName": "Bench " + org[:8], "blueprint": "nextjs", "cpuLimit": cores,
	}, &made)
	if err != nil {
		return "", 0, err
	}
	file, err := b.berth.Command(ctx, "compose", org).Output()
	if err = errors.Join(err, b.berth.remove(ctx, org)); err != nil {
		return "", 0, err
	}
	parent, err := os.MkdirTemp("", "berth-bench-compose")
	if err != nil {
		return "", 0, err
	}
	dir = filepath.Join(parent, "tenant_"+org) // the project's name is the directory's
	err = os.Mkdir(dir, 0o700)
	if err = errors.Join(err, os.WriteFile(filepath.Join(dir, "docker-compose.yml"), file, 0o600)); err != nil {
		return dir, 0, err
	}
	begin := time.Now()
	if err := compose(ctx, dir, "up", "-d"); err != nil {
		return dir, 0, errors.Join(err, composeDown(context.WithoutCancel(ctx), dir))
	}
	if err := first200(ctx, fmt.Sprintf("http://127.0.0.1:%d", made.ExternalPort)); err != nil {
		return dir, 0, errors.Join(err, composeDown(context.WithoutCancel(ctx), dir))
	}
	return dir, time.Since(begin), nil
}

func composeDown(ctx context.Context, dir string) error {
	return errors.Join(compose(ctx, dir, "down", "--volumes"), os.RemoveAll(filepath.Dir(dir)))
}

func compose(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "docker-compose", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("docker-compose %v: %w\n%s", args, err, out)
	}
	return nil
}
