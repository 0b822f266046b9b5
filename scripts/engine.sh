#!/bin/sh
# Makes sure that a Docker Engine answers: uses the one that does, else
# installs the distribution's packages and starts it, with or without systemd.
#
#   scripts/engine.sh        make sure that one answers
#   scripts/engine.sh answers  tell by the exit code whether one answers
#   scripts/engine.sh stop   stop the one that this script started, and no other
set -eu

run_dir=${BERTH_ENGINE_DIR:-/run/berth-engine}
pid_file=$run_dir/dockerd.pid
log_file=$run_dir/dockerd.log
unit_file=$run_dir/docker.service.started
deadline=60 # seconds until a started Engine must answer

say() { echo "engine: $*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@" || die "this needs root or passwordless sudo: $*"; fi
}

socket() {
	case ${DOCKER_HOST:-} in
	'') echo /var/run/docker.sock ;;
	unix://*) echo "${DOCKER_HOST#unix://}" ;;
	*) echo '' ;;
	esac
}

answers() {
	s=$(socket)
	if [ -n "$s" ]; then
		[ -S "$s" ] && curl -fsS --max-time 5 --unix-socket "$s" http://engine/_ping >/dev/null 2>&1
	else
		docker version >/dev/null 2>&1
	fi
}

install_packages() {
	missing=
	command -v curl >/dev/null || missing="$missing curl"
	command -v dockerd >/dev/null || missing="$missing docker.io"
	command -v iptables >/dev/null || missing="$missing iptables"
	command -v ip >/dev/null || missing="$missing iproute2"
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null || die "no apt-get here: install Docker Engine by hand, then try again"
	say "installing$missing ca-certificates"
	as_root apt-get update -qq >&2
	# shellcheck disable=SC2086
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing ca-certificates >&2
}

start() {
	if [ -d /run/systemd/system ]; then
		say "starting docker.service"
		as_root mkdir -p "$run_dir"
		as_root systemctl start docker
		as_root touch "$unit_file"
		return
	fi
	say "starting dockerd by hand (log: $log_file)"
	as_root mkdir -p "$run_dir"
	# dockerd starts itself anew for each container's network, and a third of what
	# that took was garbage collection before its first work.
	as_root sh -c "GOGC=400 setsid dockerd --group $(id -gn) >'$log_file' 2>&1 </dev/null & echo \$! >'$pid_file'"
}

wait_until_it_answers() {
	i=0
	until answers; do
		i=$((i + 1))
		if [ $i -gt $((deadline * 5)) ]; then
			[ -f "$log_file" ] && tail -n 20 "$log_file" >&2
			die "no answer after ${deadline} s"
		fi
		sleep 0.2
	done
}

ours() {
	[ -f "$pid_file" ] || return 1
	pid=$(cat "$pid_file")
	[ -r "/proc/$pid/comm" ] && [ "$(cat "/proc/$pid/comm")" = dockerd ]
}

case ${1:-start} in
answers) answers ;;
start)
	command -v curl >/dev/null || install_packages
	answers && exit 0
	case $(socket) in '') die "no Docker Engine answers at $DOCKER_HOST" ;; esac
	say "no Docker Engine answers"
	install_packages
	answers || start
	wait_until_it_answers
	say "a Docker Engine answers"
	;;
stop)
	if [ -f "$unit_file" ]; then
		say "stopping docker.service"
		as_root systemctl stop docker.service docker.socket
		as_root rm -f "$unit_file"
		exit 0
	fi
	ours || exit 0
	say "stopping dockerd ($pid)"
	as_root kill "$pid"
	i=0
	while ours; do
		i=$((i + 1))
		[ $i -gt 150 ] && die "dockerd ($pid) did not end in 30 s"
		sleep 0.2
	done
	as_root rm -f "$pid_file"
	;;
*) die "usage: scripts/engine.sh [start|answers|stop]" ;;
esac
