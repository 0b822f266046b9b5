#!/bin/sh
# Makes the images of the example products, without pulling any:
#
#   scripts/images.sh [nextjs] [saas]     both without arguments
#
#   nextjs   berth-nextjs:1, berth-nextjs:2
#   saas     berth-saas:1, berth-saas:2, berth-saas-db:15
#
# What is up to date is left alone, so running this again takes no time.
set -eu
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || set -- nextjs saas
for example; do
	case $example in
	nextjs | saas) "$root/examples/$example/build.sh" ;;
	*) echo "images: there is no example $example" >&2; exit 2 ;;
	esac
done
