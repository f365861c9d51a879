#!/bin/sh
# Boots a small machine, runs a program across it, kills one cell in the middle, and looks whether
# the others go on. Runs in the guest of ../run.sh, in the build directory.
set -eux

state_of() { # CELL: the second column of its line
  hive status | awk -v cell="$1" '$1 == cell { print $2 }'
}
hive boot --cells 3 --memory 16M --no-reboot
trap 'hive shutdown' EXIT
hive status
hive run --span all -- mixer 20
hive run --span all -- mixer 400 &
run=$!
sleep 1
hive fault kill-cell 2
tries=0
while [ "$(state_of 2)" != down ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 100 ]
  sleep 0.1
done
wait "$run"
hive run --cell 0 -- echo alive
hive status
