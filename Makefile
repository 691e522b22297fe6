# Set-up included: each target first installs the Debian packages that are missing (as root or
# through sudo) and says which. The build itself is CMake's; see CMakePresets.json.

JOBS ?= $(shell nproc)
TEST_JOBS ?= 2
BUILD := build/release
DEMO_RECIPE := recipes/fit/demo.yaml
DEMO_RUN := runs/demo

.PHONY: build test demo check sanitize clean help dependencies configure

build: configure ## the libraries, the program and the tests, into build/release
	cmake --build --preset release -j $(JOBS)

test: build ## build, then run the fast tests
	ctest --preset fast -j $(TEST_JOBS)

demo: configure ## train a small network and fit it to a budget, into runs/demo; goes on if interrupted
	@test -f src/cli/main.cpp || { echo "make demo: there is no program yet (src/cli/main.cpp)" >&2; exit 1; }
	@test -f $(DEMO_RECIPE) || { echo "make demo: the recipe $(DEMO_RECIPE) does not exist" >&2; exit 1; }
	cmake --build --preset release -j $(JOBS) --target espalier
	@# A finished run holds summary.json and is made anew; an unfinished one goes on.
	$(BUILD)/espalier fit $(DEMO_RECIPE) --out $(DEMO_RUN) \
	    $$(test -f $(DEMO_RUN)/summary.json && echo --overwrite || echo --resume)

check: ## everything a change must pass: format, layers, sizes, names, clang-tidy, tests
	tools/install_dependencies.sh --checks
	JOBS=$(JOBS) tools/check.sh

sanitize: dependencies ## the fast tests under address and undefined-behaviour sanitizers
	cmake --preset debug-sanitize
	cmake --build --preset debug-sanitize -j $(JOBS)
	ctest --preset debug-sanitize -j $(TEST_JOBS)

clean: ## remove what was built; runs/ stays
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

dependencies:
	tools/install_dependencies.sh

configure: dependencies
	cmake --preset release
