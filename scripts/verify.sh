#!/usr/bin/env bash
# The whole suite in every build but the release one, which `make test` has just run; and the
# models with four cells, of which it checks three.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v clang++ >/dev/null || { echo 'install what is missing: apt-get install -y clang' >&2; exit 2; }
for preset in clang debug asan tsan; do
  echo "---- $preset"
  scripts/build.sh "$preset"
  ctest --preset "$preset" --parallel 2 --timeout 1200
done

echo '---- the models, with four cells'
python3 -B models/check.py --cells 4
