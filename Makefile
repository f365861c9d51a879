# The commands at the top of the README, and those of daily work. CMake does the building.
.PHONY: run build test verify soak rounds lint deps bench evaluation install package test-stock-kernel clean

CPUS := $(shell nproc)
# Tests boot machines that keep the processors busy: at most two at a time.
TEST_JOBS ?= $(shell [ $(CPUS) -lt 2 ] && echo 1 || echo 2)

# Builds, boots a machine of four cells, runs a program on it, kills a cell, shows what went on.
run: deps
	@scripts/build.sh release hive hive-cell hive-node raytrace raytrace-threads
	@scripts/demo.sh build

build: deps
	@scripts/build.sh release

# Builds and runs every test.
test: build
	cd build && ctest --output-on-failure --parallel $(TEST_JOBS) --timeout 600

# The whole suite under each compiler and sanitizer, then the linters.
verify: test
	scripts/verify.sh
	scripts/lint.sh

# An hour each with 8 and with 64 cells under full processor load: nobody must be taken for dead.
SOAK_CELLS ?= 8 64
SOAK_SECONDS ?= 3600
soak: build
	for cells in $(SOAK_CELLS); do \
	  python3 -B bench/evaluation/soak.py --cells $$cells --seconds $(SOAK_SECONDS) || exit 1; done

# The tests that boot machines, again and again, each round with other seeds.
rounds: build
	scripts/rounds.sh build $(ROUNDS)

# The command, libhive, the headers and the manual, below PREFIX; see docs/installing.md.
PREFIX ?= /usr/local
install: build
	cmake --install build --prefix $(PREFIX)

# Debian packages, in the build directory.
package: build
	cd build && cpack -G DEB

bench: build
	build/hive bench

# The firewall's tests and a short boot-run-kill under Debian 12's own kernel, in QEMU.
test-stock-kernel: build
	scripts/stock-kernel/run.sh build

# What docs/evaluation.md shows: half an hour, on a machine that has nothing else to do.
evaluation: build
	scripts/install-deps.sh python3-matplotlib
	python3 -B bench/evaluation/measure.py all
	build/hive bench --rows 'recovery.*' --pairs 20 --json >docs/evaluation/bench.json
	python3 -B bench/chaos/postgres.py --json >docs/evaluation/postgres.json
	/usr/bin/python3 -B bench/evaluation/plot.py

lint: build
	scripts/lint.sh

deps:
	@scripts/install-deps.sh

clean:
	rm -rf build build-debug build-asan build-tsan build-clang
