#!/bin/sh
# Builds one image with its software bill of materials and its provenance.
#   deploy/images/build.sh gateway|worker|edge [tag]
# The base image's tag is resolved to a digest first, so that the build says what it was made of.
set -eu
cd "$(dirname "$0")/../.."
image=${1:?usage: build.sh gateway|worker|edge [tag]}
tag=${2:-$(git describe --tags --always --dirty)}
base=${BASE_IMAGE:-docker.io/library/debian:bookworm-slim}

case $base in
  *@sha256:*) ;;
  *)
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$base")
    case $digest in
      sha256:*) base=$base@$digest ;;
      *) echo "cannot resolve $base to a digest" >&2; exit 1 ;;
    esac
    ;;
esac

exec docker buildx build --file "deploy/images/$image.Dockerfile" --build-arg "BASE_IMAGE=$base" \
  --sbom=true --provenance=mode=max \
  --label "org.opencontainers.image.base.name=$base" \
  --label "org.opencontainers.image.version=$tag" \
  --label "org.opencontainers.image.licenses=Apache-2.0" \
  --tag "${REPOSITORY:-personaplex-callcenter}/$image:$tag" ${OUTPUT:+--output "$OUTPUT"} .
