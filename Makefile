# The short way to everything; the build itself is CMake (see CMakePresets.json).
#
#   make            build build/release/steno              make bench    steno beside other programs
#   make setup      packages, Python environment, libtorch  make peers    install those other programs
#   make model      fetch the default model                 make format   clang-format over the sources
#   make demo       all of that, then the main job          make asan     sanitizer build and tests
#   make test       build and run all tests                 make install PREFIX=/usr/local
#   make results    every method at every budget as one table (needs STENO_DATA)
#
# TORCH_DIR=/path/to/libtorch takes that libtorch instead of the Python wheel. SUDO= never calls sudo.
# PIP_EXTRA_ARGS goes to the pip call that installs torch; pip's own settings (pip.conf, PIP_*) always apply.
PREFIX ?= /usr/local
TORCH_DIR ?=
SUDO ?= sudo
JOBS ?= $(shell nproc)
CTEST_ARGS ?=
BUILD = build/release
MODEL = models/SmolLM2-135M-Instruct.Q4_1.gguf
export TORCH_DIR SUDO PIP_EXTRA_ARGS

.PHONY: all setup model demo test bench results peers format asan clean install
all: $(BUILD)/build.ninja
	cmake --build $(BUILD) -j $(JOBS) --target steno

# Looks at what is there and does only what is missing.
setup:
	@scripts/setup.sh

model: $(MODEL)
$(MODEL):
	@scripts/fetch_model.sh $@

# Run again when another libtorch is asked for; ninja sees to everything else.
build/%/build.ninja: build/.torch_dir
	cmake --preset $* -DTORCH_DIR="$(TORCH_DIR)"
	@touch $@
build/.torch_dir: FORCE
	@mkdir -p build
	@echo "$(TORCH_DIR)" | cmp -s - $@ || echo "$(TORCH_DIR)" > $@
.PHONY: FORCE
FORCE:

demo: setup
	@$(MAKE) --no-print-directory model all
	@scripts/demo.sh $(BUILD)/steno

test: setup
	@$(MAKE) --no-print-directory model $(BUILD)/build.ninja
	cmake --build $(BUILD) -j $(JOBS)
	ctest --test-dir $(BUILD) --output-on-failure $(CTEST_ARGS)

bench: setup
	@$(MAKE) --no-print-directory model peers $(BUILD)/build.ninja
	cmake --build $(BUILD) -j $(JOBS) --target steno steno_bench
	python3 bench/run.py

results: setup
	@$(MAKE) --no-print-directory model all
	python3 bench/results.py

peers: setup
	@bench/peers/setup.sh

format:
	@command -v clang-format >/dev/null || { echo "make format: clang-format is missing (apt-get install clang-format)"; exit 1; }
	git ls-files '*.h' '*.cpp' | xargs clang-format -i

asan: setup
	@$(MAKE) --no-print-directory model build/asan/build.ninja
	cmake --build build/asan -j $(JOBS)
	ctest --test-dir build/asan --output-on-failure $(CTEST_ARGS)

clean:
	rm -rf build

install: all
	cmake --install $(BUILD) --prefix "$(PREFIX)"
