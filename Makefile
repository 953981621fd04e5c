# Set-up is part of every target: `make demo` and `make test` work on a machine that has python3 and a C++ compiler.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ONLY ?=

.DEFAULT_GOAL := help
.PHONY: help demo run test check bench clean system-qt system-desktop system-bench

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) system-qt  ## The whole path on this machine: coordinator, agent, worker, an OpenAI client
	$(BIN)/gogrid demo

run: $(READY) system-qt  ## Start the tray (and the agent, if none runs)
	$(BIN)/gogrid tray

test: $(READY) system-desktop  ## All tests, on a desktop of their own
	$(BIN)/pytest

check: $(READY)  ## Lint, types for three platforms, import rules, module sizes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	for platform in linux win32 darwin; do $(BIN)/mypy --platform $$platform || exit 1; done
	$(BIN)/lint-imports
	$(BIN)/python scripts/module_sizes.py

bench: $(READY) system-bench  ## Measure the claims against llama.cpp's own server and BOINC (ONLY=name for one)
	$(BIN)/python -m bench $(ONLY)

clean:  ## Remove what was built and the virtual environment
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

system-qt:
	@scripts/system-packages qt

system-desktop:
	@scripts/system-packages qt desktop

system-bench:  # what is missing leaves single benches without a peer
	-@scripts/system-packages qt desktop bench

$(READY): pyproject.toml constraints.txt scripts/setup
	@scripts/setup $(PYTHON) $(VENV)

.PHONY: constraints
constraints: $(READY)  ## Pin what is installed now in constraints.txt
	$(BIN)/pip freeze --exclude-editable --exclude pip --exclude setuptools > constraints.txt
