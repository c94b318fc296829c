#!/bin/sh
# Writes the images' lock files: every package of each image, pinned, with hashes.
# Run it after a change of the dependencies in pyproject.toml; needs uv. With --check it writes
# nothing and says whether the locks still satisfy pyproject.toml.
set -eu
cd "$(dirname "$0")/../.."

compile() { # LOCK SOURCE [EXTRA...]
  lock=$1 source=$2
  shift 2
  # The lock itself is an input: what still fits keeps its version.
  uv pip compile --quiet --no-header --no-annotate --generate-hashes --python-version 3.11 \
    --python-platform x86_64-manylinux_2_28 "$@" -o "$lock" "$source"
}

extras() { # NAME...: as options, those that pyproject.toml has
  for name in "$@"; do
    if grep -q "^$name = \[" pyproject.toml; then echo "--extra $name"; fi
  done
}

for lock in build gateway worker; do
  file=deploy/images/$lock.lock
  if [ "${1:-}" = --check ]; then
    copy=$(mktemp)
    cp "$file" "$copy"
  else
    copy=$file
  fi
  case $lock in
    build) compile "$copy" deploy/images/build.in ;;
    gateway) compile "$copy" pyproject.toml $(extras webrtc sip admin otel) ;;
    worker) compile "$copy" pyproject.toml $(extras worker otel) ;;
  esac
  if [ "${1:-}" = --check ]; then
    cmp -s "$file" "$copy" || { echo "$file does not fit pyproject.toml: run deploy/images/lock.sh" >&2; exit 1; }
    rm -f "$copy"
  fi
done
