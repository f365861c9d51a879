#!/usr/bin/env bash
# The whole suite in every build but the release one, which `make test` has just run; and with that
# one what takes minutes: 2,000 faults, the models with four cells, long simulations, 10,000 kills,
# and a kill after every instruction of every operation.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v clang++ >/dev/null || { echo 'install what is missing: apt-get install -y clang' >&2; exit 2; }
echo '---- 10,000 kills'
HIVE_BUILD=build PYTHONPATH=tests/system PYTHONDONTWRITEBYTECODE=1 \
  python3 tests/chaos/kills_test.py --kills 10000 --progress
echo '---- a kill after every instruction'
HIVE_BUILD=build PYTHONPATH=tests/system PYTHONDONTWRITEBYTECODE=1 HIVE_STEPS_STRIDE=1 \
  python3 tests/chaos/steps_test.py
for preset in clang debug asan tsan; do
  echo "---- $preset"
  scripts/build.sh "$preset"
  ctest --preset "$preset" --parallel 2 --timeout 1200
done

echo '---- the campaign sees each defence that is turned off'
HIVE_BUILD=build python3 -B tests/campaign/campaign_sabotage_test.py
echo '---- every named point and every published structure'
HIVE_BUILD=build PYTHONPATH=tests/system python3 -B tests/system/injection_test.py
echo '---- files: every kind of operation meets every kill point'
HIVE_BUILD=build python3 -B tests/system/files_concurrent_test.py --long FilesConcurrent
echo '---- 2,000 faults that take effect, at least 50 of a kind and 10 at a point'
python3 -B tests/campaign/long_campaign.py

echo '---- 200,000 schedules of failures'
seed=$(date +%s)
build/member_sim --schedules 200000 --seed "$seed"

echo '---- the models, with four cells'
python3 -B models/check.py --cells 4
