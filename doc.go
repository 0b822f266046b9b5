// Package berth holds the nouns of Berth and the rules that are true of them
// whatever database, engine or transport is in use: tenants and their limits,
// the stacks they become, the deployments that change them, the routes that
// lead to them, and the actors who may ask.
//
// The package imports the standard library only, does no I/O and declares no
// interfaces. Time is passed in, never read. See docs/architecture.md.
package berth
