# The front door. `make help` lists the targets; each one installs what it needs first (Debian 12; root or sudo), and a second run skips it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
BENCHES = $(notdir $(basename $(shell find tests -name '*_bench.cc')))

# Tests that read the repository or need every program belong to the release run only.
SANITIZER_CTEST := --label-exclude 'structure|deploy' --parallel $(JOBS)
# ThreadSanitizer of GCC 12 can't live with a kernel's widest address randomisation; where it can't be switched off, run it as it is.
FIXED_ADDRESSES := $(shell setarch -R true 2>/dev/null && echo setarch -R)

.PHONY: help
help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: quickstart
quickstart: build  ## train a recommender on MovieTweetings from nothing, on this machine
	scripts/quickstart.sh

.PHONY: build
build: packages libtorch  ## the programs in build/bin/
	@cmake --preset release --log-level=WARNING > /dev/null
	cmake --build --preset release --parallel $(JOBS) --target programs

.PHONY: packages libtorch
packages:
	@scripts/install_packages.sh build
	@scripts/find_cargo.sh > /dev/null 2>&1 || scripts/install_packages.sh rust
libtorch: packages
	@scripts/fetch_libtorch.sh

.PHONY: test
test: test-packages build test-release test-asan test-tsan check-protos  ## release tests, the sanitizers (ASan with UBSan, TSan), repository checks

.PHONY: test-packages test-release test-asan test-tsan check-protos
test-packages:
	@scripts/install_packages.sh build test
test-release: build test-packages  ## the release preset's tests, repository checks among them
	cmake --build --preset release --parallel $(JOBS)
	ctest --preset release --parallel $(JOBS)
test-asan: test-packages  ## AddressSanitizer and UBSan on what is not LibTorch
	@cmake --preset asan --log-level=WARNING > /dev/null
	cmake --build --preset asan --parallel $(JOBS)
	ctest --preset asan $(SANITIZER_CTEST)
test-tsan: test-packages  ## ThreadSanitizer on what is not LibTorch
	@$(FIXED_ADDRESSES) cmake --preset tsan --log-level=WARNING > /dev/null
	$(FIXED_ADDRESSES) cmake --build --preset tsan --parallel $(JOBS)
	$(FIXED_ADDRESSES) ctest --preset tsan $(SANITIZER_CTEST)
check-protos:
	scripts/check_protos.sh

# PROGRAM:FILTER of the tests that do more with PIXELREC_LONG_TESTS=1; without it they run a slice in `make test`. Not by ctest, whose
# time limits are those of the slices.
LONG_TESTS := checkpoint_crash_test:* coordinator_crash_test:* kills_test:KillsTest.* train_memory_test:MemoryTest.OfAHundredMillion* train_test:ZeroTest.LossCurves*

.PHONY: test-long
test-long: build test-packages  ## what takes minutes: every crash point of a save, 50 kills of ranks, 2,000 of the coordinator, 100 steps at every ZeRO stage
	cmake --build --preset release --parallel $(JOBS) --target $(sort $(foreach test,$(LONG_TESTS),$(firstword $(subst :, ,$(test)))))
	for test in $(foreach test,$(LONG_TESTS),'$(test)'); do PIXELREC_LONG_TESTS=1 build/tests/$${test%%:*} --gtest_filter="$${test#*:}"; done

.PHONY: reliability
reliability: build test-packages  ## run the fault tests and write their table in docs/reliability.md
	cmake --build --preset release --parallel $(JOBS)
	scripts/fault_table.py . --write build/tests

SIM_SECONDS ?= 60
SIM_FROM ?= 1

.PHONY: sim
sim: libtorch test-packages  ## a seeded simulator of the control plane for SIM_SECONDS (60), from seed SIM_FROM (1) on
	@cmake --preset release --log-level=WARNING > /dev/null
	cmake --build --preset release --parallel $(JOBS) --target coordinator_simulator_test
	PIXELREC_SIMULATOR_SECONDS=$(SIM_SECONDS) PIXELREC_SIMULATOR_FROM=$(SIM_FROM) build/tests/coordinator_simulator_test \
	  --gtest_filter=Simulator.KeepsThePromises

.PHONY: cuda test-gpu
cuda: build  ## what computes on GPUs, beside the programs in build/bin/, and its test suite; needs no GPU
	@scripts/fetch_libtorch.sh --cuda-headers
	@scripts/install_packages.sh build test
	@cmake --preset cuda --log-level=WARNING > /dev/null
	cmake --build --preset cuda --parallel $(JOBS) --target programs device_test
	scripts/check_cuda_build.sh build
test-gpu:  ## the suite for a machine with GPUs; PIXELREC_DEVICE_TESTS=1 says that this is one
	@[ "$${PIXELREC_DEVICE_TESTS:-}" = 1 ] || { echo "error: make test-gpu trains on this machine's GPUs and fails without one;" \
	  "on a machine that has them, run PIXELREC_DEVICE_TESTS=1 make test-gpu" >&2; exit 1; }
	scripts/fetch_libtorch.sh --cuda
	$(MAKE) cuda
	build/tests/device_test

.PHONY: fuzz
fuzz:  ## every libFuzzer target for FUZZ_SECONDS (60)
	@scripts/install_packages.sh build fuzz
	@cmake --preset fuzz --log-level=WARNING > /dev/null
	cmake --build --preset fuzz --parallel $(JOBS) --target $(patsubst tests/fuzz/%.cc,%,$(wildcard tests/fuzz/*_fuzz.cc))
	scripts/run_fuzzers.sh build/fuzz $(FUZZ_SECONDS)

.PHONY: fidelity
fidelity: build  ## compare exports with Python's transformers (5 GB environment, cached)
	cmake --build --preset release --parallel $(JOBS) --target architecture_test
	scripts/fidelity.sh

.PHONY: bench
bench: build  ## every benchmark (NAME_bench.cc under tests/)
	cmake --build --preset release --parallel $(JOBS) --target $(BENCHES)
	for bench in $(BENCHES); do build/tests/$$bench; done

.PHONY: format
format:  ## clang-format every C++ file
	scripts/check_format.sh --fix

.PHONY: clean
clean:  ## remove build/ (the download cache stays)
	rm -rf build
