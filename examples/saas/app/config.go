package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// config is what the environment says, and the defaults where it is silent.
type config struct {
	TenantID   string // TENANT_ID
	TenantName string // TENANT_NAME; any text, so it is escaped where it is shown
	Port       int    // PORT, 3000: where the web listens
	FilesDir   string // FILES_DIR, /data/files: a volume that web and worker share

	DatabaseHost     string // DATABASE_HOST, db: the service's name in the tenant's network
	DatabasePort     int    // DATABASE_PORT, 5432
	DatabaseUser     string // DATABASE_USER, app
	DatabaseName     string // DATABASE_NAME, app
	DatabasePassword string // DATABASE_PASSWORD, required; never logged

	MigrateFail bool // MIGRATE_FAIL=1: a migration fails on purpose, for tests
	Schema      int  // the schema version that this release needs
}

func readConfig(getenv func(string) string) (config, error) {
	or := func(name, otherwise string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	var wrong []error
	port := func(name, otherwise string) int {
		n, err := strconv.ParseUint(or(name, otherwise), 10, 16)
		if err != nil || n == 0 {
			wrong = append(wrong, fmt.Errorf("%s is no port number: %q", name, getenv(name)))
		}
		return int(n)
	}
	c := config{
		TenantID:         getenv("TENANT_ID"),
		TenantName:       getenv("TENANT_NAME"),
		Port:             port("PORT", "3000"),
		FilesDir:         or("FILES_DIR", "/data/files"),
		DatabaseHost:     or("DATABASE_HOST", "db"),
		DatabasePort:     port("DATABASE_PORT", "5432"),
		DatabaseUser:     or("DATABASE_USER", "app"),
		DatabaseName:     or("DATABASE_NAME", "app"),
		DatabasePassword: getenv("DATABASE_PASSWORD"),
		MigrateFail:      getenv("MIGRATE_FAIL") == "1",
		Schema:           len(migrations),
	}
	if c.DatabasePassword == "" {
		wrong = append(wrong, errors.New("DATABASE_PASSWORD is required"))
	}
	if schema != "" {
		n, err := strconv.Atoi(schema)
		if err != nil || n < 1 || n > len(migrations) {
			wrong = append(wrong, fmt.Errorf("this release was built for schema %q, but has migrations 1 to %d", schema, len(migrations)))
		}
		c.Schema = n
	}
	return c, errors.Join(wrong...)
}

const (
	connectTimeout = 2 * time.Second
	queryTimeout   = 5 * time.Second
)

// pool describes how to reach the database; service is what the database shows
// as the client's name. Nothing is connected yet.
func (c config) pool(service string) (*pgxpool.Config, error) {
	p, err := pgxpool.ParseConfig("sslmode=disable") // inside the tenant's own network
	if err != nil {
		return nil, err
	}
	p.ConnConfig.Host, p.ConnConfig.Port = c.DatabaseHost, uint16(c.DatabasePort)
	p.ConnConfig.User, p.ConnConfig.Database = c.DatabaseUser, c.DatabaseName
	p.ConnConfig.Password = c.DatabasePassword
	p.ConnConfig.Fallbacks = nil
	p.ConnConfig.ConnectTimeout = connectTimeout
	p.ConnConfig.RuntimeParams["application_name"] = "saas " + service
	p.ConnConfig.RuntimeParams["statement_timeout"] = strconv.FormatInt(queryTimeout.Milliseconds(), 10)
	// Several webs and workers share max_connections of a small database.
	p.MaxConns = 6
	p.MaxConnIdleTime = time.Minute
	return p, nil
}
