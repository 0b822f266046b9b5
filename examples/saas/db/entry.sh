#!/bin/sh
# Starts PostgreSQL on a volume that nobody else uses. In this order:
#
#   lock      or exit 75: two servers on one volume destroy it
#   initdb    at the first start, in a directory that is renamed when it is whole
#   prepare   role, password and functions, in single-user mode: no port is open
#   exec      postgres, which keeps the lock until its last process has ended
#
# Exit codes: 64 a variable is missing or malformed, 75 the volume is in use,
# 77 the volume can't be written, else those of PostgreSQL.
set -eu
umask 077

volume=/var/lib/postgresql/data
cluster=$volume/15
config=/etc/saas-db
user=${DATABASE_USER:-app}
name=${DATABASE_NAME:-app}
password=${DATABASE_PASSWORD:-}
unset DATABASE_PASSWORD # no server process needs it

# As process 1, the shell would not hear a stop while initdb runs.
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf 'saas-db: %s\n' "$*" >&2; }

die() {
	code=$1
	shift
	say "$*"
	exit "$code"
}

# event prints a line for starts or refusals: when, and which container.
event() { printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(cat /etc/hostname)"; }

check_name() { # variable, value
	case $2 in
	'' | [!a-z]* | *[!a-z0-9_]* | postgres | template[01] | pg_*)
		die 64 "$1 must begin with a letter, consist of a-z, 0-9 and _, and not be one of PostgreSQL's own: '$2'" ;;
	esac
	[ ${#2} -le 63 ] || die 64 "$1 is longer than 63 characters"
}

check_environment() {
	check_name DATABASE_USER "$user"
	check_name DATABASE_NAME "$name"
	[ -n "$password" ] || die 64 "DATABASE_PASSWORD is required"
	# initdb and the server read it as one line.
	case $password in
	*[[:cntrl:]]*) die 64 "DATABASE_PASSWORD holds a control character" ;;
	esac
}

# take_volume locks the volume. The lock is on descriptor 9, which every process
# of the server inherits: it is free when the last of them has ended, whatever
# ended it. flock works among containers of one machine.
take_volume() {
	if ! [ -w "$volume" ] || ! [ -x "$volume" ]; then
		die 77 "$volume can't be written by user $(id -u); it must belong to that user"
	fi
	exec 9>>"$volume/lock"
	if ! flock --nonblock 9; then
		event >>"$volume/refusals" || :
		die 75 "another database server uses $volume: refused, nothing was changed. Stop the other one first"
	fi
}

# make_cluster leaves either a whole cluster or none under its name.
make_cluster() {
	[ ! -d "$cluster" ] || return 0
	say "first start: making a database in $cluster"
	rm -rf "$cluster.new"
	initdb --pgdata="$cluster.new" --username=postgres --auth=reject --encoding=UTF8 \
		--locale=C.UTF-8 --data-checksums --no-instructions >/dev/null
	single "$cluster.new" postgres <<-SQL
		CREATE ROLE $user LOGIN
		CREATE DATABASE $name OWNER $user
	SQL
	mv "$cluster.new" "$cluster"
	sync -f "$volume"
}

# single runs the lines of its input as statements, each one line, and fails at
# the first that does. A statement that fails is not logged: one holds the
# password.
single() { # cluster, database
	postgres --single -D "$1" -c config_file="$config/postgresql.conf" -c hba_file="$config/pg_hba.conf" \
		-c exit_on_error=on -c log_min_error_statement=panic -c log_min_messages=error -c log_checkpoints=off "$2" >/dev/null
}

# counter prints a function that counts the lines of a file in the volume: the
# only thing outside its database that the app may see.
counter() { # function, file
	cat <<-SQL
		CREATE OR REPLACE FUNCTION server.$1() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS \$\$ SELECT count(*) FROM regexp_split_to_table(coalesce(pg_read_file('$volume/$2', 0, 16777216, true), ''), E'\n') AS line WHERE line <> '' \$\$
		REVOKE ALL ON FUNCTION server.$1() FROM PUBLIC
		GRANT EXECUTE ON FUNCTION server.$1() TO $user
	SQL
}

# prepare makes the variables true, at every start: a changed password is in
# force after it. It also repairs what a kill left behind.
prepare() {
	# Its number may be that of some process of this container by now. The lock
	# proves that no server is left.
	rm -f "$cluster/postmaster.pid"
	{
		printf "ALTER ROLE %s PASSWORD '%s'\n" "$user" "$(printf %s "$password" | sed "s/'/''/g")"
		printf 'CREATE SCHEMA IF NOT EXISTS server\n'
		printf 'GRANT USAGE ON SCHEMA server TO %s\n' "$user"
		counter starts starts
		counter refusals refusals
	} | single "$cluster" "$name" ||
		die 1 "the database could not be prepared for user '$user' and database '$name'; the lines above say why"
}

take_volume
check_environment
make_cluster
prepare
event >>"$volume/starts"
unset password
exec postgres -D "$cluster" -c config_file="$config/postgresql.conf" -c hba_file="$config/pg_hba.conf"
