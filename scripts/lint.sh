#!/usr/bin/env bash
# Looks over the sources with clang-tidy, and for lines that are too long.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly line_max=99
readonly file_lines_max=400

fail=0
sources() { find src include programs campaign bench tests -name '*.cpp' -o -name '*.h' | sort; }

while read -r file; do
  # Characters, not bytes: some comments draw pictures.
  if LC_ALL=C.UTF-8 grep -nHE "^.{$((line_max + 1)),}" "$file"; then fail=1; fi
  lines=$(wc -l <"$file")
  if [ "$lines" -gt $file_lines_max ]; then
    echo "$file: $lines lines, more than one subject"
    fail=1
  fi
done < <(sources)

if command -v clang-tidy >/dev/null; then
  # How clang compiles them: it can't use the headers that GCC has compiled.
  cmake --preset clang >/dev/null
  find src programs -name '*.cpp' | sort | xargs -P "$(nproc)" -n 4 \
    clang-tidy -p build-clang --quiet --warnings-as-errors='*' 2>/dev/null || fail=1
else
  echo 'clang-tidy is not there: apt-get install -y clang-tidy' >&2
  fail=1
fi
exit $fail
