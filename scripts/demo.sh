#!/bin/sh
# Berth's main job, on real containers: three tenants, one of which is scaled,
# deployed and rolled back. Every line that is printed is the result of a real
# call. On a terminal it keeps running until Ctrl-C; otherwise it tears down all
# that it made and ends.
set -eu
cd "$(dirname "$0")/.."

berth=bin/berth
state=${XDG_STATE_HOME:-${HOME:-/root}/.local/state}/berth-demo
server=
own= # the state is this demo's to take away
started_engine=
acme=550e8400-e29b-41d4-a716-446655440001
globex=550e8400-e29b-41d4-a716-446655440002
initech=550e8400-e29b-41d4-a716-446655440003
umbrella=550e8400-e29b-41d4-a716-446655440004

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || title() { printf '\n%s\n' "$*"; }
die() { echo "demo: $*" >&2; exit 1; }

# show ARG...: print the command as it can be pasted, and run it
show() {
	printf '$ berth'
	for word in "$@"; do
		case $word in *' '*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
	done
	printf '\n'
	"$berth" "$@"
}

# lives FILE WORD: the process whose id FILE holds runs, and its command has WORD
lives() {
	[ -s "$1" ] && pid=$(cat "$1") && [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q "$2"
}

# stop_server: end the control plane, and wait until it has ended
stop_server() {
	lives "$state/server.pid" 'berth serve' || return 0
	kill -TERM "$pid"
	i=0
	while lives "$state/server.pid" 'berth serve'; do
		i=$((i + 1))
		[ $i -lt 400 ] || die "the control plane does not end"
		sleep 0.1
	done
	rm -f "$state/server.pid"
}

# remove_tenants: take away what the demo made, with the control plane that
# made it: only its state proves that it is its own
remove_tenants() {
	[ -f "$state/berth.db" ] || return 0
	if [ -z "$server" ] || ! kill -0 "$server" 2>/dev/null; then
		stop_server # of a demo that was killed
		serve
	fi
	listed=$(setsid "$berth" ls -o json) || return 1
	for org in $acme $globex $initech $umbrella; do
		case $listed in
		*"$org"*) setsid "$berth" deprovision "$org" --volumes delete --yes --wait 120 >/dev/null 2>&1 || return 1 ;;
		esac
	done
	listed=$(setsid "$berth" ls -o json) || return 1
	case $listed in *organizationId*) return 1 ;; esac
	stop_server
}

tear_down() {
	code=$?
	trap '' INT TERM HUP # what was begun is finished
	trap - EXIT
	if [ "$code" != 0 ] && [ -n "$own" ] && [ -f "$state/server.log" ]; then
		echo "demo: ended with $code; the control plane's last words:" >&2
		tail -n 20 "$state/server.log" >&2
	fi
	if [ -z "$own" ]; then
		:
	elif remove_tenants; then
		rm -rf "$state"
		for tag in 1 2; do
			setsid go run ./scripts/tenantimage -ref "berth-demo:$tag" -remove || code=1
		done
	else
		echo "demo: not all could be taken away; its state is kept in $state for the next try" >&2
		code=1
	fi
	[ -z "$started_engine" ] || scripts/engine.sh stop || code=1
	exit "$code"
}

# port_free PORT: nothing listens on it (7: connection refused)
port_free() {
	curl -s --max-time 1 -o /dev/null "http://127.0.0.1:$1/" && return 1
	[ $? = 7 ]
}

# as_admin ARG...: a call with the token of Acme's admin, which nothing shows
as_admin() {
	echo "\$ BERTH_TOKEN=(Acme's admin) berth $*"
	BERTH_TOKEN=$admin "$berth" "$@"
}

# as_admin_refused ARG...: one that must be refused
as_admin_refused() {
	echo "\$ BERTH_TOKEN=(Acme's admin) berth $*"
	if answer=$(BERTH_TOKEN=$admin "$berth" "$@" 2>&1); then
		die "an admin of Acme was allowed: berth $*"
	fi
	echo "$answer"
}

# serve: start the control plane, out of reach of the terminal's Ctrl-C, and
# wait until it is ready
serve() {
	listen=127.0.0.1:3008
	if ! port_free 3008; then
		listen=127.0.0.1:0
		echo "port 3008 is in use: the API takes a free one"
	fi
	: >"$state/ready"
	setsid "$berth" serve --state-dir "$state" --listen "$listen" >"$state/ready" 2>>"$state/server.log" </dev/null &
	server=$!
	echo "$server" >"$state/server.pid"
	i=0
	until grep -q '^ready' "$state/ready"; do
		kill -0 "$server" 2>/dev/null || die "the control plane ended"
		i=$((i + 1))
		[ $i -lt 300 ] || die "the control plane is not ready after 30 s"
		sleep 0.1
	done
	BERTH_URL=$(sed -n 's/^ready *//p' "$state/ready")
	BERTH_STATE_DIR=$state
	export BERTH_URL BERTH_STATE_DIR
}

# An earlier demo that was killed left its state: its control plane takes away
# what it made.
clean_up_after_an_earlier_one() {
	lives "$state/demo.pid" demo.sh && die "another demo runs (process $pid): end it first"
	own=yes
	[ -d "$state" ] || return 0
	echo "taking away what an earlier demo left"
	remove_tenants || die "what an earlier demo left can't be taken away; see $state/server.log"
	rm -rf "$state"
}

# call ORG: what the tenant says at its own address
call() {
	url=$("$berth" status "$1" -o json | sed -n 's/.*"tenantUrl": *"\([^"]*\)".*/\1/p' | head -n 1)
	[ -n "$url" ] || die "no address for $1"
	printf '$ curl %s/api/health\n' "$url"
	curl -fsS --max-time 10 "$url/api/health" || die "$url does not answer"
}

title "A Docker Engine"
trap tear_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if ! scripts/engine.sh answers; then
	started_engine=yes
	scripts/engine.sh
fi
echo "a Docker Engine answers"

# under_load runs a command while one request after another goes to a tenant,
# and says how many of them failed.
under_load() {
	local target log="$state/requests" requests failed code=0
	target="$("$berth" status "$1" -o json | sed -n 's/.*"tenantUrl": *"\([^"]*\)".*/\1/p' | head -n 1)"
	shift
	: >"$log"
	(while [ -e "$log" ]; do
		curl --silent --output /dev/null --max-time 30 --write-out '%{http_code}\n' "$target/" >>"$log.codes" || true
	done) &
	local caller=$!
	show "$@" || code=1
	rm -f "$log"
	wait "$caller"
	requests="$(wc -l <"$log.codes")"
	failed="$(grep -vc '^200$' "$log.codes" || true)"
	rm -f "$log.codes"
	echo "meanwhile: $requests requests, $failed failed"
	[ "$code" = 0 ] && [ "$failed" = 0 ] || die "requests failed while the version changed"
}

title "The binary, and two versions of a small tenant app (nothing is pulled)"
make --no-print-directory build
"$berth" version
clean_up_after_an_earlier_one
go run ./scripts/tenantimage -ref berth-demo:1 -version 1
go run ./scripts/tenantimage -ref berth-demo:2 -version 2
mkdir -p "$state"
chmod 700 "$state"
echo $$ >"$state/demo.pid"

title "The control plane, on an embedded database"
serve
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

title "A new version for Acme while its customers work, and back"
under_load acme-corp deploy acme-corp --image berth-demo:2
call acme-corp
under_load acme-corp rollback acme-corp
call acme-corp
show deployments acme-corp

title "A product of two services: a compose file becomes a blueprint"
show blueprint validate scripts/demo-blueprint.yml
show blueprint apply scripts/demo-blueprint.yml
show provision --org $umbrella --name "Umbrella" --blueprint demo --start
call $umbrella
show status umbrella

title "Acme's own people: they see their tenant, and do what the operator allows"
admin=$("$berth" token create demo-admin --role admin --org $acme)
echo "\$ berth token create demo-admin --role admin --org $acme   (shown once, to us)"
as_admin ls
as_admin_refused stop acme-corp
show organization allow $acme stop,start
as_admin stop acme-corp
as_admin start acme-corp
as_admin_refused status globex
as_admin audit ls --org $acme --limit 4
show audit verify --org $acme

title "What to try next"
cat <<TXT
export BERTH_URL=$BERTH_URL BERTH_STATE_DIR=$state
$berth ls
$berth logs globex
$berth stop globex; curl -i $("$berth" status globex -o json | sed -n 's/.*"tenantUrl": *"\([^"]*\)".*/\1/p' | head -n 1)
docker kill tenant_$initech; $berth events initech
$berth compose umbrella
$berth top
$berth usage acme-corp
$berth blueprint validate YOUR-compose.yml
TXT
if [ -t 1 ]; then
	echo
	echo "The demo runs until Ctrl-C, then takes away all that it made."
	trap 'exit 0' INT
	wait "$server" || die "the control plane ended"
else
	title "Taking away all that was made"
fi
