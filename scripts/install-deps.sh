#!/usr/bin/env bash
# Installs the Debian 12 packages that Hive is built with, and those that are named, such as what
# draws the plots. Says nothing when all are there.
# Usage: install-deps.sh [PACKAGE...]
set -euo pipefail

readonly packages=(
  cmake ninja-build g++ ccache python3 pkg-config groff-base
  libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libexpected-dev libpng-dev
  libgtest-dev libbenchmark-dev spin
  "$@"
)

command -v dpkg-query >/dev/null || exit 0  # not Debian: CMake names what it does not find
missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}")
if [ "$(id -u)" = 0 ]; then
  apt-get update -q && "${install[@]}"
elif sudo -n true 2>/dev/null; then
  sudo apt-get update -q && sudo "${install[@]}"
else
  echo "install what is missing: sudo apt-get install -y ${missing[*]}" >&2
  exit 1
fi
