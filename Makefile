# One command for everything: `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

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
