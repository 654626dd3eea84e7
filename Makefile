# `make demo` and `make test` need Python >= 3.11 and a C++20 compiler; all else they fetch into .venv themselves.
# PYTHON=... chooses the interpreter that .venv is made from, CXX=... the compiler.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.dev
BENCH := $(VENV)/.bench
BUILD_INPUTS := pyproject.toml CMakeLists.txt $(wildcard native/*)

PYTHON ?= $(shell for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$candidate && break; done)
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint format bench bench-smoke pictures wheel system-packages clean check-tools
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## set up, fit the Old Faithful data, write the results and the picture to demo-output/
	$(BIN)/gaussmix fit examples/old_faithful.csv --output-dir demo-output --force

test: $(DEV) ## set up, run all tests
	$(BIN)/python -m pytest -rfEs

test-fast: $(DEV) ## the tests that need neither a cluster, a browser nor an emulator
	$(BIN)/python -m pytest -rfEs -m "not spark and not dask and not browser and not qemu"

lint: $(DEV) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV) ## let ruff format the code
	$(BIN)/ruff format .

bench: $(BENCH) ## speed and memory beside other libraries, over half an hour; PART=..., UPDATE=1: see benchmarks/
	$(BIN)/python benchmarks/bench.py $(PART) $(if $(UPDATE),--update)

bench-smoke: $(BENCH) ## the same with small sizes, once: does it run, do the results agree
	$(BIN)/python benchmarks/bench.py --smoke

pictures: demo ## draw the picture of the README again
	cp demo-output/old_faithful.png docs/images/

wheel: $(DEV) ## the source distribution, and the wheel built from it, in dist/
	rm -rf dist
	$(BIN)/python -m build

system-packages: ## what the tests want from the system (apt; the only target that needs root)
	$(SUDO) apt-get update
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
		g++ python3-dev python3-venv chromium qemu-user g++-aarch64-linux-gnu libc6-dev-arm64-cross

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist demo-output .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -prune -exec rm -rf {} +

# ---- the environment -------------------------------------------------------------------------------------------

# The library itself, editable: changed Python files count at once, a changed kernel is built again here.
$(READY): $(BUILD_INPUTS) | check-tools
	@echo "Building gaussmix in $(VENV); the first time this takes some minutes."
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --editable .
	@cp $(VENV)/lib/python3*/site-packages/gaussmix/_kernel.pyi src/gaussmix/  # for mypy and editors
	@touch $@

$(BENCH): $(DEV)
$(DEV) $(BENCH): EXTRA = $(@:$(VENV)/.%=%)
$(DEV) $(BENCH): $(READY)
	@echo "Fetching the extra \"$(EXTRA)\"."
	@$(BIN)/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		print(*project["optional-dependencies"]["$(EXTRA)"], sep="\n")' > $(VENV)/$(EXTRA)-requirements.txt
	@$(PIP) install --requirement $(VENV)/$(EXTRA)-requirements.txt
	@touch $@

check-tools:
	@[ -n "$(PYTHON)" ] || { \
		echo "gaussmix needs Python 3.11 or newer, and there is none in PATH." >&2; \
		echo "On Debian or Ubuntu: apt-get install python3 python3-venv python3-dev. Or: make PYTHON=/path/to/python" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import pathlib, sys, sysconfig; \
		sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || { \
		echo "$(PYTHON) comes without its C headers. On Debian or Ubuntu: apt-get install python3-dev" >&2; \
		exit 1; }
	@for compiler in "$$CXX" c++ g++ clang++; do \
		[ -n "$$compiler" ] && echo '#include <version>' | $$compiler -std=c++20 -x c++ -fsyntax-only - 2>/dev/null && exit 0; \
	done; \
	echo "gaussmix needs a C++20 compiler (GCC 11, Clang 14 or newer), and there is none in PATH." >&2; \
	echo "On Debian or Ubuntu: apt-get install g++. Or: make CXX=/path/to/compiler" >&2; \
	exit 1
