#!/bin/sh
# Builds the images of this blueprint without pulling any:
#
#   berth-saas:1 berth-saas:2   the app, in two releases; the second has one
#                               migration more
#   berth-saas-db:15            PostgreSQL 15 on a base of Debian's packages
#
# Each carries a hash of what it was made from. One that is up to date is left
# alone, so running this again takes no time.
#
#   BASE_IMAGE   a base with PostgreSQL 15 to use; else scripts/baseimage.sh makes one
set -eu

here=$(CDPATH='' cd "$(dirname "$0")" && pwd)
root=$(CDPATH='' cd "$here/../.." && pwd)
base=${BASE_IMAGE:-}
label=berth.example.content
export DOCKER_BUILDKIT=0 # no plugin to be had everywhere, and nothing here needs it

say() { echo "saas: $*" >&2; }
die() { say "$*"; exit 1; }

command -v docker >/dev/null || die "no docker command: run scripts/engine.sh"
command -v go >/dev/null || die "no go command"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Two builds at once would do the work twice.
exec 9>>"${TMPDIR:-/tmp}/berth-saas-build.$(id -u).lock"
flock 9

# content hashes files, and what is on its standard input.
content() {
	{
		cat
		for file in "$@"; do sha256sum <"$file"; done
	} | sha256sum | cut -d' ' -f1
}

up_to_date() { # image, content
	[ "$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$1" 2>/dev/null)" = "$2" ]
}

build() { # image, content, context, more arguments
	image=$1 hash=$2 context=$3
	shift 3
	old=$(docker image inspect -f '{{.Id}}' "$image" 2>/dev/null || :)
	docker build --quiet --force-rm --label "$label=$hash" --tag "$image" "$@" "$context" >"$stage/log" 2>&1 ||
		die "$image could not be built: $(cat "$stage/log")"
	say "built $image"
	[ -z "$old" ] || docker image rm "$old" >/dev/null 2>&1 || : # stays while a container or a tag needs it
}

app() { # version, schema
	hash=$(cd "$root" && {
		echo "$1 $2"
		go env GOVERSION GOARCH
		find examples/saas/app -name '*.go' ! -name '*_test.go' -exec sha256sum {} + | LC_ALL=C sort
	} | content "$here/build.sh" "$here/app/Dockerfile" "$root/go.mod" "$root/go.sum")
	up_to_date "berth-saas:$1" "$hash" && return
	context=$stage/app$1
	mkdir -p "$context/data/files"
	cp "$here/app/Dockerfile" "$context/"
	(cd "$root" && CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false \
		-ldflags "-s -w -X main.version=$1 -X main.schema=$2" -o "$context/saas" ./examples/saas/app)
	chmod -R u=rwX,go=rX "$context" # whatever the umask is
	build "berth-saas:$1" "$hash" "$context"
}

database() {
	if [ -z "$base" ]; then
		base=berth-base-postgres:bookworm
		"$root/scripts/baseimage.sh" "$base" postgresql-15
	fi
	id=$(docker image inspect -f '{{.Id}}' "$base") || die "no image $base"
	hash=$(echo "$id" | content "$here/build.sh" "$here"/db/*)
	up_to_date berth-saas-db:15 "$hash" && return
	build berth-saas-db:15 "$hash" "$here/db" --build-arg "BASE_IMAGE=$base"
}

app 1 2
app 2 3
database
