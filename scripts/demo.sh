#!/usr/bin/env bash
# What `make run` shows: a machine of four cells, a parallel program across all of them, a cell that
# is killed in the middle, the rest of the machine going on, and the cell coming back.
# Usage: scripts/demo.sh BUILD_DIR
set -euo pipefail

build=$(cd "$1" && pwd)
hive=$build/hive
name=demo-$$
picture=$build/teapot.png
work=$(mktemp -d)
start_ns=$(date +%s%N)
victim=2

elapsed_ms() { echo $((($(date +%s%N) - start_ns) / 1000000)); }
say_at() {  # MS TEXT...
  local ms=$1
  shift
  printf '%3d.%03d s  %s\n' $((ms / 1000)) $((ms % 1000)) "$*"
}
say() { say_at "$(elapsed_ms)" "$*"; }
finish() {
  "$hive" shutdown --name "$name" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT
# Waits until the command in "$@" succeeds, at most 30 s.
wait_until() {
  local deadline=$((SECONDS + 30))
  while [ "$SECONDS" -lt "$deadline" ]; do
    if "$@"; then return 0; fi
    sleep 0.05
  done
  echo "demo: waited 30 s for: $*" >&2
  return 1
}
status_says() {  # EXPRESSION of s, the status, and v, the victim
  "$hive" status --json --name "$name" |
    python3 -c 'import json,sys; s, v = json.load(sys.stdin), int(sys.argv[1]); sys.exit(not eval(sys.argv[2]))' \
      "$victim" "$1"
}

say "boot     a machine of four cells: hive boot --cells 4"
"$hive" boot --cells 4 --name "$name" >/dev/null
say "up       $("$hive" status --json --name "$name" | python3 -c '
import json, sys
s = json.load(sys.stdin)
up = [c["id"] for c in s["cells"] if c["state"] == "up"]
print("cells", *up, "are up; firewall:", s["firewall"])')"

say "run      the teapot, traced by a component on each cell: hive run --span all -- raytrace --survive"
"$hive" run --span all --name "$name" -- "$build/raytrace" --survive --json --output "$picture" \
  >"$work/report" 2>"$work/errors" &
run=$!

: >>"$work/errors"  # it is there from now on, also before the command has begun
tiles_done() {  # as the queue of the picture says
  grep -q -E '([3-9][0-9]|100) ?%' "$work/errors"
}
wait_until tiles_done
say "tracing  a third of the picture is done, by all four cells"
"$hive" fault kill-cell "$victim" --name "$name" >/dev/null
kill_ms=$(elapsed_ms)
say_at "$kill_ms" "kill     SIGKILL for the kernel of cell $victim: hive fault kill-cell $victim"
wait_until status_says 'any(l["cell"] == v for l in s["losses"])'
# The processors are busy with the picture, so we learn of it later than it was: the cells know when.
"$hive" status --json --name "$name" | python3 -c '
import json, sys
s = json.load(sys.stdin)
victim = int(sys.argv[1])
loss = next(l for l in s["losses"] if l["cell"] == victim)
others = [c["id"] for c in s["cells"] if c["id"] != victim and c["state"] == "up"]
ms, epoch = loss["recovery_ms"], loss["epoch"]
print(int(sys.argv[2]) + round(ms))
print(f"cell {sys.argv[1]} was powered off and marked down in {ms:.1f} ms;",
      "cells", *others, f"go on in epoch {epoch}")' "$victim" "$kill_ms" >"$work/down"
say_at "$(head -1 "$work/down")" "down     $(tail -1 "$work/down")"
wait_until status_says 's["cells"][v]["state"] == "up" and s["cells"][v]["incarnation"] == 2'
say "back     cell $victim was started anew, with empty memory, while the others drew on"
status=0
wait "$run" || status=$?
grep -v '%' "$work/errors" | sed 's/^/           | /' || true
if [ "$status" != 0 ]; then
  echo "demo: the run ended with status $status" >&2
  exit 1
fi
say "done     $(python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
tiles, again, seconds = r["tiles"], r["tiles_done_again"], r["seconds"]
print(f"{tiles} tiles in {seconds:.1f} s; lost with the cell and done again: {again}")' \
  "$work/report")"
say "picture  $picture"
if [ -x "$build/raytrace-threads" ]; then
  "$build/raytrace-threads" --quiet --output "$work/plain.png"
  if cmp -s "$picture" "$work/plain.png"; then
    say "same     bit for bit what the threaded program without Hive draws"
  else
    echo "demo: the picture differs from that of raytrace-threads" >&2
    exit 1
  fi
fi
"$hive" shutdown --name "$name" >/dev/null
say "off      hive shutdown; nothing is left"
