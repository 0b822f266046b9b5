#!/bin/sh
# Makes the images of the example products, without pulling any:
#
#   scripts/images.sh [nextjs] [saas]     both without arguments
#
#   nextjs   berth-nextjs:1, berth-nextjs:2
#   saas     berth-saas:1, berth-saas:2, berth-saas-db:15
#
# What is up to date is left alone, so running this again takes no time.
#
#   NEXTJS_APP   the folder of the app in nextjs; examples/nextjs
set -eu
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd)
label=berth.example.content
authorities=/etc/ssl/certs/ca-certificates.crt # a network's own one is among them
export DOCKER_BUILDKIT=0                        # no plugin to be had everywhere

say() { echo "images: $*" >&2; }
die() { say "$*"; exit 1; }

nextjs() {
	app=${NEXTJS_APP:-$root/examples/nextjs}
	[ -f "$app/package-lock.json" ] || die "there is no app in $app"
	run=berth-base-node:bookworm build=berth-base-node-build:bookworm
	"$root/scripts/baseimage.sh" "$run" nodejs
	"$root/scripts/baseimage.sh" "$build" ca-certificates nodejs npm

	stage=$(mktemp -d)
	trap 'rm -rf "$stage"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	mkdir "$stage/context"
	# What was built on the host is not what the image shall hold.
	tar -C "$app" --exclude=./node_modules --exclude=./.next --exclude=./blueprint.yml -cf - . | tar -C "$stage/context" -xf -
	cp "$root/docker/tenant/entrypoint.sh" "$stage/context/"
	mkdir -p "$stage/context/public"
	chmod -R u=rwX,go=rX "$stage/context" # whatever the umask is
	hash=$(cd "$stage/context" && {
		find . -type f -exec sha256sum {} + | LC_ALL=C sort
		sha256sum <"$root/docker/tenant/Dockerfile"
		docker image inspect -f '{{.Id}}' "$run" "$build"
	} | sha256sum | cut -d' ' -f1)
	[ ! -r "$authorities" ] || cp "$authorities" "$stage/context/ca.crt"

	# Two builds at once would do the work twice.
	exec 9>>"${TMPDIR:-/tmp}/berth-nextjs-build.$(id -u).lock"
	flock 9
	tested=
	for version in 1 2; do
		image=berth-nextjs:$version
		old=$(docker image inspect -f "{{.Id}} {{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null || :)
		[ "${old#* }" != "$hash" ] || continue
		# The host's network: the stages ask the npm registry as the host does.
		docker build --quiet --force-rm --network host --file "$root/docker/tenant/Dockerfile" \
			--build-arg "BASE_IMAGE=$run" --build-arg "BUILD_IMAGE=$build" --build-arg "APP_VERSION=$version" \
			--label "$label=$hash" --tag "$image" "$stage/context" >"$stage/log" 2>&1 ||
			die "$image could not be built: $(cat "$stage/log")"
		if [ -z "$tested" ]; then # its own tests, on what was built, without a network
			stage_id=$(docker build --quiet --network host --file "$root/docker/tenant/Dockerfile" --target build \
				--build-arg "BASE_IMAGE=$run" --build-arg "BUILD_IMAGE=$build" --build-arg "APP_VERSION=$version" "$stage/context" 2>"$stage/log") ||
				die "the build stage could not be made again: $(cat "$stage/log")"
			docker run --rm --network none "$stage_id" npm test >"$stage/log" 2>&1 || {
				docker image rm "$image" >/dev/null
				die "the tests of $app failed: $(cat "$stage/log")"
			}
			tested=yes
		fi
		say "built $image"
		[ -z "$old" ] || docker image rm "${old%% *}" >/dev/null 2>&1 || : # stays while a container or a tag needs it
	done
}

[ $# -gt 0 ] || set -- nextjs saas
for example; do
	case $example in
	nextjs) (nextjs) ;;
	saas) "$root/examples/saas/build.sh" ;;
	*) say "there is no example $example"; exit 2 ;;
	esac
done
