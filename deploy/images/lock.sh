#!/bin/sh
# Writes the lock files: every package of each image and of `make demo`, pinned, with the hashes of all
# files that the index has of it. `make lock` runs it; do so after a change of the dependencies in
# pyproject.toml. Needs uv and an index. With --check it writes nothing and says whether the locks
# still satisfy pyproject.toml.
set -eu
cd "$(dirname "$0")/../.."

compile() { # LOCK SOURCE [OPTION...]
  lock=$1 source=$2
  shift 2
  # The lock itself is an input: what still fits keeps its version.
  uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
    --generate-hashes --python-version 3.11 "$@" -o "$lock" "$source"
}

image="--python-platform x86_64-manylinux_2_28"
any="--universal" # every platform, and Python from 3.11 on: markers say what is for which

extras() { # NAME...: as options, those that pyproject.toml has
  for name in "$@"; do
    if grep -q "^$name = \[" pyproject.toml; then echo "--extra $name"; fi
  done
}

for lock in build gateway worker demo tools; do
  case $lock in
    demo | tools) file=deploy/$lock.lock ;;
    *) file=deploy/images/$lock.lock ;;
  esac
  if [ "${1:-}" = --check ]; then
    copy=$(mktemp)
    cp "$file" "$copy"
  else
    copy=$file
  fi
  case $lock in
    build) compile "$copy" deploy/images/build.in $any ;;
    gateway) compile "$copy" pyproject.toml $image $(extras webrtc sip admin otel) ;;
    worker) compile "$copy" pyproject.toml $image $(extras worker otel) ;;
    demo) compile "$copy" pyproject.toml $any $(extras demo cascade webrtc) ;;
    tools) compile "$copy" deploy/tools.in $any ;;
  esac
  if [ "${1:-}" = --check ]; then
    cmp -s "$file" "$copy" || { echo "$file does not fit pyproject.toml: run deploy/images/lock.sh" >&2; exit 1; }
    rm -f "$copy"
  fi
done
