# Each target brings its own uv and environment; from the second time on it starts at once.
#
#   make demo     the shipped policy drives the simulated arm: table, report and videos in out/demo
#   make test     every test
#   make lint     style, types, layers
#   make bench    every performance claim, measured here, into benchmarks/results
#   make bullet   the second engine, PyBullet, if it can be installed: it compiles for up to ten minutes
#   make format   rewrite to style
#   make freeze   write anew what golden tests compare with: option names, command reference
#   make clean    remove caches and built files

SHELL := /bin/bash
.DEFAULT_GOAL := demo
.DELETE_ON_ERROR:
.PHONY: demo test lint bench bullet format freeze clean environment

export MUJOCO_GL ?= egl

BIN := .venv/bin
READY := .venv/.ready
SOURCES := vla datasets policies sim robot_io configs tests benchmarks examples

# A uv on the path counts only if it answers and is recent enough to know dependency groups.
UV := $(shell uv pip install --help 2>/dev/null | grep -q -- --group && command -v uv || echo .uv/bin/uv)
PYTHON := $(shell for python in python3.12 python3; do $$python -m venv --help >/dev/null 2>&1 && echo $$python && break; done)

demo: $(READY)
	$(BIN)/vla demo

test: export OMP_NUM_THREADS := 1
test: $(READY)
	$(BIN)/pytest -n 2 --dist worksteal -q $(PYTEST)

lint: $(READY)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks

bullet: $(READY)
	$(BIN)/python -c "import pybullet" 2>/dev/null \
	  || VIRTUAL_ENV=.venv timeout 900 $(UV) pip install "pybullet>=3.2.7" \
	  || echo "PyBullet is not here and could not be installed: tests of engine=bullet are SKIPPED" >&2

format: $(READY)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

freeze: $(READY)
	FREEZE=1 $(BIN)/pytest -q tests/golden

clean:
	rm -rf dist .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

environment: $(READY)

$(READY): pyproject.toml $(if $(filter .uv/%,$(UV)),$(UV))
	test -x $(BIN)/python || $(UV) venv --python 3.12 .venv
	VIRTUAL_ENV=.venv $(UV) pip install --editable . --group dev
	touch $@

.uv/bin/uv:
	@test -n "$(PYTHON)" || { echo "python3 with venv is needed (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet uv
	touch $@
