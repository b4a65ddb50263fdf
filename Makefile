# One command for everything: `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The interpreter that makes the virtual environment.
PYTHON ?= python3
# Passed on to `idemdb demo` and `idemdb bench`, for example ARGS=--json.
ARGS ?=
# Passed on to pytest, for example PYTEST_ARGS='-k claim'.
PYTEST_ARGS ?=
MAJORS ?= 15 16 17 18

VENV := .venv
BIN := $(VENV)/bin

# Made again when pyproject.toml changes. Its chatter goes to stderr: stdout belongs to the command that was asked for.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -m venv $(VENV) >&2
	@$(BIN)/python -m pip install --quiet --editable '.[dev]' >&2
	@touch $@

.PHONY: .venv
.venv: $(VENV)/.installed ## make the virtual environment with everything that development needs

.PHONY: demo
demo: .venv ## click Pay three times, be charged once; options: make demo ARGS=--json
	@$(BIN)/idemdb demo $(ARGS)

.PHONY: bench
bench: .venv ## measure idemdb against the floor, with JSON and chart in .cache/bench; options: make bench ARGS=--json
	@mkdir -p .cache/bench
	@$(BIN)/idemdb bench --output .cache/bench/latest.json --chart .cache/bench/latest.svg $(ARGS)

.PHONY: test
test: .venv ## run all tests on PostgreSQL 18; options: make test PYTEST_ARGS='-k claim'
	@$(BIN)/pytest -n 2 $(PYTEST_ARGS)

.PHONY: test-matrix
test-matrix: .venv ## run the tests of the database on PostgreSQL 15 to 18; options: make test-matrix MAJORS=15
	@$(BIN)/python -m tools.matrix $(MAJORS) -- $(PYTEST_ARGS)

.PHONY: check
check: .venv ## look for mistakes without running anything: linters, types, SQL syntax
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m tools.check_sql
	@$(BIN)/sqlfluff lint --disable-progress-bar sql
	@$(BIN)/squawk sql/releases/*/upgrade.sql
	@$(BIN)/python -m tools.release

.PHONY: format
format: .venv ## format the Python files, and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: release
release: .venv ## freeze the tree of sql/ as a release of the schema: make release NUMBER=1
	@$(BIN)/python -m tools.release $(NUMBER)

.PHONY: clean
clean: ## remove all that the other targets made
	@rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[.a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
