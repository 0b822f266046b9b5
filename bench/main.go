// Bench measures Berth beside the raw Engine API, interleaved in one run: what
// matters are the ratios, because both sides meet the same machine in the same
// minute.
//
//	go run ./bench [-run REGEXP] [-quick]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"syscall"
	"time"

	"github.com/unite-hub/berth/internal/testbed"
)

const image, nextImage = "berth-bench:1", "berth-bench:2"

// bench is one run: the two sides and where they are written to.
type bench struct {
	raw   *raw
	berth *berthSide
	quick bool

	size     int    // of "ten-thousand", instead of its own
	database string // of it, if it is to run on one only
	profile  string // what the names of its profiles begin with
}

func main() {
	log.SetFlags(0)
	pattern := flag.String("run", "", "only scenarios whose name (what stands before the colon) matches")
	quick := flag.Bool("quick", false, "fewer tenants and shorter waits: to see that it works, not to quote")
	watched := flag.String("watch", "", "for the fleet scenario's own use: ADDRESS/CONTAINER")
	seconds := flag.Int("rows", 0, "for the databases scenario's own use: SECONDS")
	size := flag.Int("tenants", 0, "ten-thousand with so many tenants only")
	database := flag.String("database", "", "ten-thousand on this database only: SQLite or PostgreSQL")
	profile := flag.String("profile", "", "what the names of files with profiles of ten-thousand begin with")
	child := flag.Bool("many", false, "for the ten-thousand scenario's own use")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *watched != "" {
		if err := watch(ctx, *watched); err != nil {
			log.Fatal("bench: ", err)
		}
		return
	}
	if *seconds != 0 {
		if err := record(ctx, *seconds); err != nil {
			log.Fatal("bench: ", err)
		}
		return
	}
	if *child {
		if err := many(ctx); err != nil {
			log.Fatal("bench: ", err)
		}
		return
	}
	if err := run(ctx, *pattern, &bench{quick: *quick, size: *size, database: *database, profile: *profile}); err != nil {
		log.Fatal("bench: ", err)
	}
}

func run(ctx context.Context, pattern string, b *bench) (err error) {
	match, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	for ref, version := range map[string]string{image: "1", nextImage: "2"} {
		if err := testbed.LoadTenantImage(ctx, ref, version); err != nil {
			return err
		}
		// What was made goes, whatever ends the run.
		defer func() { err = errors.Join(err, testbed.RemoveImage(context.WithoutCancel(ctx), ref)) }()
	}
	if b.raw, err = newRaw(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.raw.close()) }()
	if b.berth, err = startBerth(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.berth.close()) }()
	fmt.Printf("%d cores, %s, Engine %s (API %s), one run, both sides interleaved\n\n", runtime.NumCPU(), runtime.Version(), b.raw.version, apiVersion)
	for _, s := range b.scenarios() {
		if !match.MatchString(s.name) {
			continue
		}
		start := time.Now()
		fmt.Printf("## %s: %s\n", s.name, s.what)
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Printf("   (%.0f s)\n\n", time.Since(start).Seconds())
	}
	return nil
}

type scenario struct {
	name string
	what string
	run  func(context.Context) error
}

func (b *bench) scenarios() []scenario {
	return []scenario{
		{"start-one-after-another", "provision + start to the first 200, 20 tenants", b.oneAfterAnother},
		{"start-and-remove-4-at-a-time", "24 tenants", b.fourAtATime},
		{"deploy", "another version of a running tenant, without observation", b.deploy},
		{"moves", "10 deployments and 5 rollbacks of a tenant under load", b.moves},
		{"sampling", "one sweep over the samples of 300 containers", b.sampling},
		{"fleet", "watching 1,000 tenants", b.fleet},
		{"ten-thousand", "one control plane on the fake engine, 2,000, 5,000 and 10,000 tenants side by side", b.tenThousand},
		{"databases", "1,000 tenants in SQLite and in PostgreSQL: reads, lists, and 1,000 rows a second", b.databases},
		{"nextjs", "provision + start of examples/nextjs to the first 200, beside the raw API and docker-compose on the ejected file", b.nextjs},
		{"idle", "the control plane, and what it makes the Engine burn, at 0 and 100 tenants", b.idle},
	}
}
