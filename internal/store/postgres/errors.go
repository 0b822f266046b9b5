package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/unite-hub/berth"
)

// Codes of PostgreSQL, by their names in its manual.
const (
	uniqueViolation        = "23505"
	foreignKeyViolation    = "23503"
	featureNotSupported    = "0A000"
	insufficientPrivilege  = "42501"
	serializationFailure   = "40001"
	deadlockDetected       = "40P01"
	queryCanceled          = "57014"
	lockNotAvailable       = "55P03"
	readOnlyTransaction    = "25006"
	notInPrerequisiteState = "55000" // of a standby that is asked for a transaction's number
	idleInTransaction      = "25P03"
	adminShutdown          = "57P01"
	crashShutdown          = "57P02"
	cannotConnectNow       = "57P03"
	databaseDropped        = "57P04"
	tooManyConnections     = "53300"
	invalidPassword        = "28P01"
	invalidAuthorization   = "28000"
	invalidCatalog         = "3D000"
	undefinedTable         = "42P01"
	undefinedFunction      = "42883"
	invalidSchema          = "3F000"
	raisedException        = "P0001"
	invalidParameter       = "22023"
	noSuchStatement        = "26000"
	duplicateStatement     = "42P05"
)

// sqlstate returns the server's code of an error, "" if it is not the server's.
func sqlstate(err error) string {
	var p *pgconn.PgError
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// violated returns the name of the constraint that refused a row, and whether
// it is of that kind.
func violated(err error, code string) (constraint string, ok bool) {
	var p *pgconn.PgError
	if errors.As(err, &p) && p.Code == code {
		return p.ConstraintName, true
	}
	return "", false
}

// isDangling reports whether a row refers to one that is not there.
func isDangling(err error) bool {
	_, ok := violated(err, foreignKeyViolation)
	return ok
}

// lost reports whether the connection is gone with err. What ended with its
// caller's context is not.
func lost(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	switch code := sqlstate(err); code {
	case idleInTransaction, adminShutdown, crashShutdown, cannotConnectNow, databaseDropped:
		return true
	case "":
	default:
		return strings.HasPrefix(code, "08")
	}
	var connecting *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connecting) || errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || strings.HasSuffix(err.Error(), "conn closed")
}

// outdated reports whether the schema has changed since the statement was
// prepared. The code alone stands for more than that.
func outdated(err error) bool {
	var p *pgconn.PgError
	return errors.As(err, &p) && p.Code == featureNotSupported && p.Routine == "RevalidateCachedQuery"
}

// retryable reports whether another attempt may do better, on this connection
// or on a new one.
func retryable(err error) bool {
	var known *berth.Error
	if errors.As(err, &known) {
		return false
	}
	if errors.Is(err, context.DeadlineExceeded) && !lost(err) {
		return false
	}
	switch sqlstate(err) {
	case serializationFailure, deadlockDetected, tooManyConnections, readOnlyTransaction, notInPrerequisiteState:
		return true
	case invalidPassword, invalidAuthorization, invalidCatalog:
		return false
	}
	return lost(err) || outdated(err)
}

// fault turns what the driver returned into an error of Berth's, by the
// server's code. Errors that have a code, and the end of ctx, pass as they are.
func fault(ctx context.Context, err error, op string) error {
	if err == nil {
		return nil
	}
	var known *berth.Error
	if errors.As(err, &known) {
		return err
	}
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || sqlstate(err) == queryCanceled || sqlstate(err) == "") {
		return ctx.Err()
	}
	code := sqlstate(err)
	switch code {
	case insufficientPrivilege:
		return (&berth.Error{Code: berth.CodeForbidden, Op: op, Message: "Not allowed", Err: err}).
			WithHint("use a token that may manage this organization")
	case tooManyConnections:
		return storage(err, op, "the server has no connection left; raise max_connections, or lower pool_max_conns in the URL")
	case readOnlyTransaction, notInPrerequisiteState:
		return storage(err, op, "the server takes no writes: it is a standby, or its disk is full; point the URL at the primary")
	case queryCanceled, lockNotAvailable:
		return storage(err, op, "the server took too long; look for what it is busy with, or who holds a lock, in pg_stat_activity")
	case serializationFailure, deadlockDetected:
		return storage(err, op, "other programs change the same rows; try again")
	case invalidPassword, invalidAuthorization:
		return storage(err, op, "the server refuses the login; check user, password and sslmode of the URL")
	case invalidCatalog:
		return storage(err, op, "create the database, or name another one in the URL")
	case noSuchStatement, duplicateStatement:
		return storage(err, op, "a pooler gives each transaction another connection; add default_query_exec_mode=exec to the URL")
	case undefinedTable, undefinedFunction, invalidSchema:
		return storage(err, op, "the schema is not Berth's, or not complete; run berth migrate")
	}
	switch {
	case lost(err):
		return storage(err, op, "the server can't be reached or is restarting; tenants keep running. Check that it runs, and the host and port of the URL")
	case strings.HasPrefix(code, "53"):
		return storage(err, op, "the server is out of disk, memory or another resource; see its log")
	case code == "58030", strings.HasPrefix(code, "XX"):
		return storage(err, op, "the server's disk fails or the database is damaged; see its log")
	}
	return &berth.Error{Code: berth.CodeInternal, Op: op, Message: "The database refused a statement", Err: err,
		Hint: "this is a fault of Berth; please report it"}
}

func storage(err error, op, hint string, args ...any) error {
	return (&berth.Error{Code: berth.CodeStorageUnavailable, Op: op, Message: "The database can't be used", Err: err}).
		WithHint(hint, args...)
}

func errClosed() error {
	return berth.Errorf(berth.CodeShuttingDown, "The database is closed").WithHint("Berth is shutting down; try again when it is back")
}
