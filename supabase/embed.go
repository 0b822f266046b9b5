// Package supabase holds Berth's PostgreSQL schema as files, where the Supabase
// CLI expects them: one source for both it and `berth migrate`.
package supabase

import "embed"

// Migrations are the way up, in the order of their names. Each file is a
// transaction of its own and may be run again.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Rollbacks are the way down, in the reverse order of their names.
//
//go:embed rollbacks/*.sql
var Rollbacks embed.FS
