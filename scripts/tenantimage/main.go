// Tenantimage loads the demo tenant's image into the Engine, without pulling
// anything, or removes it.
package main

import (
	"context"
	"flag"
	"log"
	"time"

	"github.com/unite-hub/berth/internal/testbed"
)

func main() {
	log.SetFlags(0)
	ref := flag.String("ref", "berth-demo:1", "reference of the image")
	version := flag.String("version", "1", "version that the app reports")
	remove := flag.Bool("remove", false, "remove the image instead")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	if *remove {
		err = testbed.RemoveImage(ctx, *ref)
	} else {
		err = testbed.LoadTenantImage(ctx, *ref, *version)
	}
	if err != nil {
		log.Fatal(err)
	}
}
