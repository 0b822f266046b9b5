#!/bin/sh
# Makes sure that docker-compose is there: tests and benchmarks hold rendered
# files against it. Berth itself does not use it.
set -eu
if command -v docker-compose >/dev/null; then
	exit 0
fi
as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
echo "compose: installing docker-compose" >&2
as_root apt-get update -qq >&2
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-compose >&2
