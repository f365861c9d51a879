#!/bin/sh
# Boots a small machine, runs a program on it, kills one cell's node, and looks whether the machine
# still runs programs. Runs in the guest of ../run.sh, in the build directory.
set -eux

hive boot --cells 3
trap 'hive shutdown' EXIT
hive run -- true
hive status
hive kill 2
hive run -- true
hive status
