#!/usr/bin/env bash
# Runs the tests that boot machines again and again: rounds.sh BUILD_DIR [ROUNDS]
# Tests print their seeds; a failure is replayed with them.
set -euo pipefail
readonly build=$1
readonly rounds=${2:-20}

cd "$build"
for round in $(seq "$rounds"); do
  echo "---- round $round of $rounds"
  HIVE_TEST_ROUNDS=${HIVE_TEST_ROUNDS:-20} ctest --output-on-failure --timeout 1800 \
    -R 'machine_test|leftovers_test|cli_test|monitor_test'
done
