#!/usr/bin/env bash
# Configures and builds one preset, or only some of its targets: build.sh PRESET [TARGET...]
set -euo pipefail
cd "$(dirname "$0")/.."
readonly preset=$1
shift

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Quiet unless it fails: it is the same every time.
if ! cmake --preset "$preset" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
cmake --build --preset "$preset" ${1:+--target "$@"}
