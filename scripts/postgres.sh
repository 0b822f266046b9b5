#!/bin/sh
# Makes sure that PostgreSQL's programs are there: tests start servers of their
# own from them. It installs the distribution's package without the cluster that
# comes with it, and starts nothing.
set -eu

newest() { ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | tail -n 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

if [ -n "$(newest)" ]; then
	exit 0
fi
command -v apt-get >/dev/null || {
	echo "postgres: no apt-get here: install PostgreSQL 15 or later by hand, then try again" >&2
	exit 1
}
echo "postgres: installing postgresql" >&2
as_root apt-get update -qq >&2
# First the package that would make a cluster, with the word not to.
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-common >&2
conf=/etc/postgresql-common/createcluster.conf
if ! grep -qs '^create_main_cluster *= *false' $conf; then
	as_root sh -c "echo 'create_main_cluster = false' >>$conf"
fi
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >&2
[ -n "$(newest)" ] || {
	echo "postgres: the package brought no server below /usr/lib/postgresql" >&2
	exit 1
}
