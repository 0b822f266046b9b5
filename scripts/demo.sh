#!/bin/sh
# Berth's main job, on real containers: three tenants, one of which is scaled,
# deployed and rolled back. Every line that is printed is the result of a real
# call. On a terminal it keeps running until Ctrl-C; otherwise it tears down all
# that it made and ends.
set -eu
cd "$(dirname "$0")/.."

berth=bin/berth
record=${TMPDIR:-/tmp}/berth-demo.state # names the state directory of the demo that runs
state=
server=
started_engine=
acme=550e8400-e29b-41d4-a716-446655440001
globex=550e8400-e29b-41d4-a716-446655440002
initech=550e8400-e29b-41d4-a716-446655440003

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || title() { printf '\n%s\n' "$*"; }
show() { printf '$ berth %s\n' "$*"; "$berth" "$@"; }
die() { echo "demo: $*" >&2; exit 1; }

tear_down() {
	code=$?
	trap - EXIT INT TERM HUP
	if [ "$code" != 0 ] && [ -n "$state" ] && [ -f "$state/server.log" ]; then
		echo "demo: failed; the control plane's last words:" >&2
		tail -n 20 "$state/server.log" >&2
	fi
	if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
		for org in $acme $globex $initech; do
			"$berth" deprovision "$org" --volumes delete --yes >/dev/null 2>&1 || true
		done
		kill -TERM "$server" && wait "$server" || code=1
	fi
	for tag in 1 2; do go run ./scripts/tenantimage -ref "berth-demo:$tag" -remove >/dev/null 2>&1 || true; done
	[ -n "$state" ] && rm -rf "$state"
	rm -f "$record"
	[ -z "$started_engine" ] || scripts/engine.sh stop
	exit "$code"
}

# port_free PORT: nothing listens on it
port_free() { ! curl -s --max-time 1 -o /dev/null "http://127.0.0.1:$1/" 2>/dev/null; }

# serve STATE: start the control plane and wait until it is ready
serve() {
	listen=127.0.0.1:3008
	if ! port_free 3008; then
		listen=127.0.0.1:0
		echo "port 3008 is in use: the API takes a free one"
	fi
	: >"$1/ready"
	"$berth" serve --state-dir "$1" --listen "$listen" >"$1/ready" 2>>"$1/server.log" &
	server=$!
	i=0
	until grep -q '^ready' "$1/ready"; do
		kill -0 "$server" 2>/dev/null || die "the control plane ended"
		i=$((i + 1))
		[ $i -lt 300 ] || die "the control plane is not ready after 30 s"
		sleep 0.1
	done
	BERTH_URL=$(sed -n 's/^ready *//p' "$1/ready")
	BERTH_STATE_DIR=$1
	export BERTH_URL BERTH_STATE_DIR
}

# An earlier demo that was killed left its state directory: its own control
# plane takes away what it made.
clean_up_after_an_earlier_one() {
	[ -f "$record" ] || return 0
	old=$(cat "$record")
	if [ -f "$old/berth.db" ]; then
		echo "taking away what an earlier demo left"
		serve "$old"
		for org in $acme $globex $initech; do
			"$berth" deprovision "$org" --volumes delete --yes >/dev/null 2>&1 || true
		done
		kill -TERM "$server" && wait "$server"
		server=
	fi
	rm -rf "$old"
	rm -f "$record"
}

# call ORG: what the tenant says at its own address
call() {
	url=$("$berth" status "$1" -o json | sed -n 's/.*"tenantUrl": *"\([^"]*\)".*/\1/p' | head -n 1)
	[ -n "$url" ] || die "no address for $1"
	printf '$ curl %s/api/health\n' "$url"
	curl -fsS --max-time 10 "$url/api/health" || die "$url does not answer"
}

title "A Docker Engine"
if curl -fsS --max-time 5 --unix-socket /var/run/docker.sock http://engine/_ping >/dev/null 2>&1 || [ -n "${DOCKER_HOST:-}" ]; then
	echo "uses the one that answers"
	scripts/engine.sh
else
	scripts/engine.sh
	started_engine=yes
fi
trap tear_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

title "The binary, and two versions of a small tenant app (nothing is pulled)"
make --no-print-directory build
go run ./scripts/tenantimage -ref berth-demo:1 -version 1
go run ./scripts/tenantimage -ref berth-demo:2 -version 2
"$berth" version

clean_up_after_an_earlier_one
state=$(mktemp -d "${TMPDIR:-/tmp}/berth-demo.XXXXXX")
echo "$state" >"$record"

title "The control plane, on an embedded database"
serve "$state"
echo "ready at $BERTH_URL"

title "Three tenants"
show provision --org $acme --name "Acme Corp" --image berth-demo:1 --start
show provision --org $globex --name "Globex" --image berth-demo:1 --start
show provision --org $initech --name "Initech" --image berth-demo:1 --start
for org in $acme $globex $initech; do call $org; done
show ls

title "More room for Acme: CPU and memory without a restart, and a second replica"
show scale acme-corp --cpu 1 --memory 768 --replicas 2
show status acme-corp

title "A new version for Acme, and back"
show deploy acme-corp --image berth-demo:2
call acme-corp
show rollback acme-corp
call acme-corp
show deployments acme-corp

title "What to try next"
cat <<TXT
export BERTH_URL=$BERTH_URL BERTH_STATE_DIR=$state
$berth ls
$berth logs globex
$berth stop globex; curl -i $("$berth" status globex -o json | sed -n 's/.*"tenantUrl": *"\([^"]*\)".*/\1/p' | head -n 1)
docker kill tenant_$initech; $berth events initech
$berth compose acme-corp
TXT
if [ -t 1 ]; then
	echo
	echo "The demo runs until Ctrl-C, then takes away all that it made."
	wait "$server"
else
	title "Taking away all that was made"
fi
