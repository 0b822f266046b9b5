#!/bin/sh
# Makes an image from Debian's packages, without pulling any:
#
#   scripts/baseimage.sh NAME PACKAGE...
#
# NAME is the image's reference; PACKAGE... what it holds beside Debian's
# smallest system. The image carries a hash of what it was made from. One that
# is up to date is left alone, so running this again takes no time.
#
#   DEBIAN_MIRROR   where packages come from; http://deb.debian.org/debian
set -eu

suite=bookworm
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
recipe=1 # raise it when what follows makes another image
label=berth.example.base

say() { echo "baseimage: $*" >&2; }
die() { say "$*"; exit 1; }
as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@" || die "this needs root or passwordless sudo: $*"; fi
}

[ $# -ge 1 ] || die "usage: scripts/baseimage.sh NAME [PACKAGE...]"
name=$1
shift
command -v docker >/dev/null || die "no docker command: run scripts/engine.sh"
hash=$(printf '%s\n' "$recipe" "$suite" "$@" | sha256sum | cut -c1-32)

# Two at once would do the work twice.
exec 8>>"${TMPDIR:-/tmp}/berth-baseimage.$(id -u).lock"
flock 8

if [ "$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$name" 2>/dev/null)" = "$hash" ]; then
	exit 0
fi
if ! command -v mmdebstrap >/dev/null; then
	say "installing mmdebstrap"
	as_root apt-get update -qq >&2
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap >&2
fi
say "making $name from Debian $suite:" "$@"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
packages=$(IFS=,; echo "$*")
# Documentation, translations and package lists are of no use in a tenant.
as_root env TMPDIR="$work" mmdebstrap --quiet --variant=minbase ${packages:+--include="$packages"} \
	--aptopt='APT::Install-Recommends "false"' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	"$suite" "$work/root.tar" "$mirror" >&2
docker import --change "LABEL $label=$hash" --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8' \
	"$work/root.tar" "$name" >/dev/null
say "made $name"
