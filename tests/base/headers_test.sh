#!/bin/sh
# Compiles each public header alone: headers_test.sh COMPILER SOURCE_DIR
set -eu
compiler=$1
root=$2
for header in "$root"/include/hive/*.h; do
  printf '#include <hive/%s>\n' "$(basename "$header")" |
    "$compiler" -std=c++20 -Wall -Wextra -Wpedantic -Wshadow -Werror -I"$root/include" \
      -fsyntax-only -x c++ -
done
