#!/bin/sh
# Starts a tenant's process, and refuses to start one that would run as the
# wrong tenant or half configured. README.md beside this tells the contract.
#
#   64  the identity      65  a setting      66  a file      71  the memory
set -eu

refuse() { # exit code, message
	printf 'entrypoint: refused: %s\n' "$2" >&2
	exit "$1"
}

# quote prints a value in quotes on one line, cut short. Control characters
# could otherwise forge lines of a log.
quote() {
	printf '"%s"' "$(printf '%.80s' "$1" | LC_ALL=C tr '\000-\037\177-\377' '?')"
}

# is_uuid matches the whole value: unlike grep, case sees all lines as one.
is_uuid() {
	case $1 in
	*[!0123456789abcdefABCDEF-]* | *-*-*-*-*-*) return 1 ;;
	????????-????-????-????-????????????) ;;
	*) return 1 ;;
	esac
}

# uuid prints the value of a field in lower case.
uuid() { # field, value, way out
	is_uuid "$2" || refuse 64 "$1 is $(quote "$2"), want a UUID of 8-4-4-4-12 hexadecimal digits: $3"
	printf '%s' "$2" | LC_ALL=C tr 'ABCDEF' 'abcdef'
}

# A function in parentheses runs in a shell of its own: its variables can't
# change those of the same name in the tenant's environment.

# identity prints the tenant's id.
identity() (
	file=/etc/tenant_id
	if [ ! -e "$file" ]; then
		[ -n "${TENANT_ID:-}" ] || refuse 64 "TENANT_ID is not set and there is no $file: set one of them to the tenant's id"
		uuid TENANT_ID "$TENANT_ID" "set it to the tenant's id"
		exit
	fi
	[ -f "$file" ] && [ -r "$file" ] || refuse 64 "$file is no file that uid $(id -u) can read: mount one"
	value=$(cat "$file")
	# White space at the end only: at the beginning it is a malformed value.
	value=${value%"${value##*[![:space:]]}"}
	from_file=$(uuid "$file" "$value" "write the tenant's id into it")
	if [ -n "${TENANT_ID:-}" ]; then
		from_env=$(uuid TENANT_ID "$TENANT_ID" "correct it, or leave it out: $file names the tenant")
		[ "$from_env" = "$from_file" ] ||
			refuse 64 "TENANT_ID is $(quote "$from_env") and $file says $(quote "$from_file"), want the same: correct one, or leave TENANT_ID out"
	fi
	printf '%s' "$from_file"
)

# is_number takes up to 20 decimal digits without a leading zero, which a shell
# may read as octal.
is_number() {
	case $1 in '' | *[!0123456789]* | 0?*) return 1 ;; esac
	[ ${#1} -le 20 ]
}

# check_port takes PORT.
check_port() {
	if ! is_number "$PORT" || [ ${#PORT} -gt 5 ] || [ "$PORT" -lt 1 ] || [ "$PORT" -gt 65535 ]; then
		refuse 65 "PORT is $(quote "$PORT"), want a number from 1 to 65535: correct it, or leave it out for 3000"
	fi
}

# check_required names all variables at once that TENANT_REQUIRED_ENV asks for
# in vain. Its own names begin with _, as one asked for may be called "name".
check_required() (
	_missing=
	set -f # names are no patterns
	for _name in $(printf '%s' "${TENANT_REQUIRED_ENV:-}" | tr ',' ' '); do
		case $_name in
		[0123456789]* | *[!0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_]*)
			refuse 65 "TENANT_REQUIRED_ENV holds $(quote "$_name"), want names of letters, digits and _: correct it" ;;
		esac
		eval "_value=\${$_name:-}" # checked above: the name holds no syntax
		[ -n "$_value" ] || _missing="$_missing${_missing:+, }$_name"
	done
	[ -z "$_missing" ] || refuse 65 "required variables are not set or empty: $_missing: set them in the tenant's environment"
)

# limit prints the memory limit in bytes, or nothing if there is none.
limit() (
	for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
		[ -r "$file" ] || continue
		bytes=$(cat "$file")
		# Version 2 says "max" for none; version 1 says a number of 19 digits.
		if is_number "$bytes" && [ ${#bytes} -le 15 ]; then echo "$bytes"; fi
		exit 0
	done
)

# heap prints how large node's heap may become in MB, or nothing without a limit.
# It is not all that the process needs: buffers, code and stacks are outside it.
heap() (
	floor=${TENANT_MIN_MEMORY_MB:-128}
	if ! is_number "$floor" || [ ${#floor} -gt 7 ]; then
		refuse 65 "TENANT_MIN_MEMORY_MB is $(quote "$floor"), want a number of at most 7 digits: correct it, or leave it out for 128"
	fi
	bytes=$(limit)
	[ -n "$bytes" ] || exit 0
	megabytes=$((bytes / 1048576))
	[ "$megabytes" -ge "$floor" ] ||
		refuse 71 "the memory limit is $megabytes MB, want at least $floor MB: raise the limit, or lower TENANT_MIN_MEMORY_MB"
	echo $((megabytes * 3 / 4))
)

TENANT_ID=$(identity)
export TENANT_ID NODE_ENV="${NODE_ENV:-production}" PORT="${PORT:-3000}"
check_port
check_required
TENANT_HEAP_MB=$(heap)
case ${NODE_OPTIONS:-} in
*--max-old-space-size* | *--max_old_space_size*) ;;
*) [ -z "$TENANT_HEAP_MB" ] || export NODE_OPTIONS="${NODE_OPTIONS:+$NODE_OPTIONS }--max-old-space-size=$TENANT_HEAP_MB" ;;
esac
unset TENANT_HEAP_MB
if [ $# = 0 ]; then
	TENANT_ENTRY=${TENANT_ENTRY:-server.js}
	[ -f "$TENANT_ENTRY" ] && [ -r "$TENANT_ENTRY" ] ||
		refuse 66 "the program $(quote "$TENANT_ENTRY") can't be read in $(pwd): build it into the image, or name another by TENANT_ENTRY"
	set -- node "$TENANT_ENTRY"
fi
exec "$@" # in this one's place, so that signals arrive
