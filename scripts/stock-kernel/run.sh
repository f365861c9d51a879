#!/usr/bin/env bash
# Runs a build's programs and tests under Debian 12's stock kernel (6.1), in a virtual machine.
#
#   run.sh BUILD_DIR [COMMANDS_FILE]       COMMANDS_FILE: see commands.txt beside this script
#
# Nothing is installed: the kernel package is downloaded with apt-get into a cache, and its kernel
# is booted by qemu with an initramfs that holds busybox, BUILD_DIR (as /hive) and the shared
# libraries that it needs. guest/init runs the commands. Works for root and for an ordinary user.
# The guest's results come through a second serial port, so that no test's output can fake one.
#
# An initramfs and not a disk: in Debian's kernel the serial ports are built in, and virtio and 9p
# are modules.
#
# Exit status: 0 all passed, 1 some failed, 2 wrong use or something is missing,
#              3 the guest died, or did not end in time.
#
# Environment:
#   HIVE_STOCK_ACCEL         auto (default), kvm, tcg
#   HIVE_STOCK_TCG_SCALE     what the commands' timeouts are multiplied by under TCG (10)
#   HIVE_STOCK_MEMORY_MIB    the guest's memory (3072)
#   HIVE_STOCK_TIMEOUT       seconds for the whole run (the sum of the timeouts, and 180)
#   HIVE_STOCK_CACHE         where the kernel is kept (~/.cache/hive/stock-kernel)
#   HIVE_STOCK_KERNEL        a kernel image to boot in place of Debian's
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly memory_mib=${HIVE_STOCK_MEMORY_MIB:-3072}
readonly cache=${HIVE_STOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hive/stock-kernel}
readonly kvm_probe_timeout_s=15

say() { printf 'stock-kernel: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

work=
qemu_pid=
clean_up() {
  if [ -n "$qemu_pid" ]; then
    kill -KILL "$qemu_pid" 2>/dev/null || true
    wait "$qemu_pid" 2>/dev/null || true
  fi
  if [ -n "$work" ]; then rm -rf "$work"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- what this needs of the host ----

check_packages() {
  local missing=()
  command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
  command -v cpio >/dev/null || missing+=(cpio)
  # The package busybox has the same name for its program, but is linked dynamically.
  if ! command -v busybox >/dev/null || ldd "$(command -v busybox)" >/dev/null 2>&1; then
    missing+=(busybox-static)
  fi
  if [ ${#missing[@]} -gt 0 ]; then
    local sudo=
    [ "$(id -u)" = 0 ] || sudo='sudo '
    die "install what is missing: ${sudo}apt-get install -y ${missing[*]}"
  fi
  if [ -z "${HIVE_STOCK_KERNEL:-}" ] && ! command -v apt-get >/dev/null; then
    die 'no apt-get to fetch the kernel with: set HIVE_STOCK_KERNEL to a kernel image'
  fi
}

# ---- the kernel ----

# Prints the name of the newest stock kernel's package, or nothing if apt knows none.
kernel_package() {
  local pattern='^linux-image-6\.1\.0-[0-9]+-amd64$'
  {
    apt-cache depends linux-image-amd64 2>/dev/null | awk '$1 == "Depends:" { print $2 }'
    apt-cache pkgnames linux-image-6.1. 2>/dev/null
  } | grep -E "$pattern" | sort -V | tail -n 1 || true
}

# Downloads a package and puts its kernel into the cache: $1 package, $2 where the kernel goes.
fetch_kernel() {
  say "downloading $1 (70 MB, once)"
  mkdir -p "$work/fetch" "$(dirname "$2")"
  # Without its sandbox user apt-get works in folders that only their owner can enter.
  (cd "$work/fetch" && apt-get -q -o APT::Sandbox::User="$(id -un)" download "$1" >&2) || return 1
  # Of 400 MB only the kernel is unpacked: all that the tests need is built into it.
  dpkg-deb --fsys-tarfile "$work"/fetch/*.deb |
    tar -x -C "$work/fetch" --wildcards './boot/vmlinuz-*' || return 1
  # Two steps, since another run may read the cache at the same time.
  cp "$work"/fetch/boot/vmlinuz-* "$2.$$" && mv "$2.$$" "$2"
  rm -rf "$work/fetch"
}

# Sets `kernel` to the path of the image.
find_kernel() {
  if [ -n "${HIVE_STOCK_KERNEL:-}" ]; then
    kernel=$HIVE_STOCK_KERNEL
    [ -f "$kernel" ] || die "no kernel image at $kernel"
    return
  fi
  mkdir -p "$cache"
  local package
  package=$(kernel_package)
  if [ -n "$package" ]; then
    kernel=$cache/$package/vmlinuz
    if [ -f "$kernel" ] || fetch_kernel "$package" "$kernel"; then return; fi
  fi
  kernel=$(find "$cache" -path '*/linux-image-6.1.0-*/vmlinuz' | sort -V | tail -n 1)
  [ -n "$kernel" ] || die 'cannot download the kernel of Debian 12: try apt-get update'
  say "no newer kernel to be had, using ${kernel#"$cache"/}"
}

# ---- how to run it ----

# Some machines have a /dev/kvm that opens, but cannot run a stock kernel (PVM, for one). So one
# short boot without a root file system is tried: the kernel must greet, panic, and end.
kvm_boots_kernel() {
  (: <>/dev/kvm) 2>/dev/null || return 1
  # What was found is kept for this kernel, guest and host, and for this boot of the host.
  local verdict
  verdict=$cache/kvm-$(printf '%s %s' "$(cat /proc/sys/kernel/random/boot_id)" "$kernel" |
    cksum | tr ' ' -)
  if [ ! -f "$verdict" ]; then
    say 'trying whether KVM works here (once for each boot of this machine)'
    mkdir -p "$cache"
    local found=no
    # The outer redirection is for what bash itself says when qemu aborts.
    {
      timeout -k 2 "$kvm_probe_timeout_s" qemu-system-x86_64 -accel kvm -cpu host -m 512 \
        -nodefaults -display none -no-reboot -serial stdio -kernel "$kernel" \
        -append 'console=ttyS0 panic=-1' </dev/null >"$work/probe" 2>&1 || true
    } 2>/dev/null
    if grep -q 'Linux version' "$work/probe" && grep -q 'Kernel panic' "$work/probe"; then
      found=yes
    fi
    echo "$found" >"$verdict"
  fi
  [ "$(cat "$verdict")" = yes ]
}

# Sets `accel`, `cpu` and `timeout_scale`.
choose_acceleration() {
  accel=${HIVE_STOCK_ACCEL:-auto}
  if [ "$accel" = auto ]; then
    accel=tcg
    if kvm_boots_kernel; then accel=kvm; fi
  fi
  case $accel in
    kvm) cpu=host timeout_scale=1 ;;
    # Five levels of page tables would only cost emulation time.
    tcg) cpu=max,la57=off timeout_scale=${HIVE_STOCK_TCG_SCALE:-10} ;;
    *) die "HIVE_STOCK_ACCEL is auto, kvm or tcg, not $accel" ;;
  esac
}

# ---- the commands ----

# Copies $1 to $2 without comments. Sets `names`, and `commands_timeout_s` to the sum.
read_commands() {
  names=()
  commands_timeout_s=0
  local who seconds name command line=0
  : >"$2"
  while read -r who seconds name command || [ -n "$who" ]; do
    line=$((line + 1))
    case $who in
      '' | '#'*) continue ;;
      root | user) ;;
      *) die "$1:$line: root or user expected, not $who" ;;
    esac
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || die "$1:$line: a timeout in seconds expected, not $seconds"
    [[ $name =~ ^[A-Za-z0-9._/+-]+$ ]] || die "$1:$line: $name is no name"
    [ -n "$command" ] || die "$1:$line: no command"
    case " ${names[*]} " in *" $name "*) die "$1:$line: a second $name" ;; esac
    names+=("$name")
    commands_timeout_s=$((commands_timeout_s + seconds * timeout_scale))
    printf '%s %s %s %s\n' "$who" $((seconds * timeout_scale)) "$name" "$command" >>"$2"
  done <"$1"
  [ ${#names[@]} -gt 0 ] || die "$1: no commands"
}

# ---- the initramfs ----

is_elf() { [ "$(head -c 4 "$1" | od -An -tx1 | tr -d ' ')" = 7f454c46 ]; }

# Copies what a program needs of the host's libraries into root $1, under the same paths.
copy_libraries() {
  local root=$1 program=$2 library listing
  listing=$(ldd "$program" 2>/dev/null) || return 0  # static
  if grep 'not found' <<<"$listing" >&2; then die "$program lacks libraries"; fi
  while read -r library; do
    case $library in "$build_dir"/*) continue ;; esac  # comes with the build
    if [ ! -e "$root$library" ]; then
      mkdir -p "$(dirname "$root$library")"
      cp -L "$library" "$root$library"
    fi
  done < <(sed -nE 's/^\t(.* => )?(\/.*) \(0x[0-9a-f]+\)$/\2/p' <<<"$listing")
}

make_initramfs() {
  local root=$1 image=$2 file
  mkdir -p "$root"/{hive,etc/stock-kernel,proc,sys,dev,run,tmp,root,home,usr/{bin,sbin,lib,lib64}}
  ln -s usr/bin usr/sbin usr/lib usr/lib64 "$root"
  cp "$(command -v busybox)" "$root/bin/busybox"
  cp "$here/guest/init" "$root/init"
  echo "$timeout_scale" >"$root/etc/stock-kernel/timeout-scale"
  printf '%s\n' "$build_dir" >"$root/etc/stock-kernel/build-dir"

  tar -C "$build_dir" --exclude-vcs --exclude=CMakeFiles --exclude=_deps --exclude='*.o' \
    --exclude='*.a' --exclude='*.d' --exclude='*.gcno' --exclude='*.gcda' --exclude='*.ninja' \
    --exclude='.ninja*' --exclude='*.cmake' --exclude=CMakeCache.txt -cf - . |
    tar -C "$root/hive" -xf -
  cp -r "$here/guest" "$root/hive/stock-kernel"
  # Bash for test scripts; libgcc_s, which glibc opens at run time to cancel threads.
  cp "$(command -v bash)" "$root/bin/bash"
  copy_libraries "$root" "$root/bin/bash"
  file=$(gcc -print-file-name=libgcc_s.so.1 2>/dev/null || true)
  if [ -f "$file" ]; then
    cp -L "$file" "$root/lib/x86_64-linux-gnu/libgcc_s.so.1"
  fi

  while IFS= read -r -d '' file; do
    is_elf "$file" || continue
    copy_libraries "$root" "$build_dir/${file#"$root"/hive/}"
    if command -v strip >/dev/null; then strip --strip-debug "$file" 2>/dev/null || true; fi
  done < <(find "$root/hive" -type f \( -perm -u+x -o -name '*.so*' \) -print0)
  chmod -R u+w,a+rX "$root"
  (cd "$root" && find . -print0 | cpio --null --create --format=newc --owner=0:0 --quiet) >"$image"

  local image_mib=$(($(stat -c %s "$image") / 1048576))
  say "initramfs of $image_mib MiB"
  # For a moment the guest holds it twice, and its root file system takes at most half the memory.
  if [ $((image_mib * 3)) -gt "$memory_mib" ]; then
    die "too much for a guest of $memory_mib MiB: set HIVE_STOCK_MEMORY_MIB=$((image_mib * 4))"
  fi
}

# ---- the run ----

# Runs the guest to its end. Fails if it did not end in time.
run_guest() {
  local timeout_s=${HIVE_STOCK_TIMEOUT:-$((commands_timeout_s + 180))}
  local deadline=$((SECONDS + timeout_s))
  # A panic or an oops ends the guest: -1 reboots at once, and -no-reboot makes that the end.
  # setpriv: the guest dies with this script, even if the script is killed with SIGKILL.
  setpriv --pdeathsig KILL qemu-system-x86_64 -accel "$accel" -cpu "$cpu" -smp 2 -m "$memory_mib" \
    -nodefaults -display none -no-reboot -kernel "$kernel" -initrd "$work/initramfs" \
    -append 'console=ttyS0 quiet panic=-1 oops=panic' \
    -chardev stdio,id=console,signal=off -serial chardev:console -serial "file:$work/results" \
    </dev/null &
  qemu_pid=$!
  while kill -0 "$qemu_pid" 2>/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      say "not ended after $timeout_s s: killed"
      return 1
    fi
    sleep 0.2
  done
  local status=0
  wait "$qemu_pid" || status=$?
  qemu_pid=
  [ "$status" = 0 ] || say "qemu ended with status $status"
}

# Compares what the guest reported with what was asked for.
report() {
  local name passed=0 failed=0 unknown=0
  for name in "${names[@]}"; do
    if grep -qxF "PASS $name" "$work/results"; then
      passed=$((passed + 1))
    elif grep -F "FAIL $name (" "$work/results" >&2; then
      failed=$((failed + 1))
    else
      printf 'NOT RUN TO ITS END %s\n' "$name" >&2
      unknown=$((unknown + 1))
    fi
  done
  local release
  release=$(sed -n 's/^KERNEL //p' "$work/results")
  say "${release:-no kernel} on $accel:" \
    "$passed passed, $failed failed, $unknown not run, $SECONDS s"
  if ! grep -qx END "$work/results" || [ "$unknown" -gt 0 ]; then
    say 'the guest did not end by itself'
    return 3
  fi
  [ "$failed" = 0 ]
}

main() {
  if [ $# -lt 1 ] || [ $# -gt 2 ]; then die 'use: run.sh BUILD_DIR [COMMANDS_FILE]'; fi
  [ -d "$1" ] || die "no build directory $1"
  build_dir=$(cd "$1" && pwd)
  local commands=${2:-$here/commands.txt}
  [ -f "$commands" ] || die "no commands file $commands"

  check_packages
  work=$(mktemp -d "${TMPDIR:-/tmp}/stock-kernel.XXXXXX")
  : >"$work/results"
  find_kernel
  choose_acceleration
  mkdir -p "$work/root/etc/stock-kernel"
  read_commands "$commands" "$work/root/etc/stock-kernel/commands"
  make_initramfs "$work/root" "$work/initramfs"
  rm -rf "$work/root"
  local ended=yes
  run_guest || ended=no
  report && [ "$ended" = yes ]
}

main "$@"
