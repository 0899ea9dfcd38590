#!/bin/sh
# Writes images.env: the images that ours are built on, with the digests that their tags have now.
set -eu
cd "$(dirname "$0")/.."
new=$(mktemp)
trap 'rm -f "$new"' EXIT
sed -n 's/^FROM \${\([A-Z]*_IMAGE\):-\([^}]*\)}.*/\1 \2/p' Dockerfile deploy/*/Dockerfile | sort -u | while read -r name image; do
    eval "image=\${$name:-$image}"
    image=${image%@*}
    found=$(docker buildx imagetools inspect "$image")
    digest=$(printf '%s\n' "$found" | sed -n 's/^Digest: *//p')
    echo "$name=$image@${digest:?has no digest}"
done >"$new"
cat "$new" >images.env
