# LLM Biology Lab. `make lab` opens the course, `make test` proves it; `make` alone lists the rest.
# Needs nothing installed but Python 3.11 to 3.14 and make. Everything Python goes into .venv.

PYTHON ?= python3
LAB_ARGS ?=

# Where there is uv, it installs: in seconds, and with the small build of PyTorch where there is no GPU (on Linux pip
# takes the build for GPUs, 3 GB). UV= says pip all the same.
UV ?= $(shell command -v uv 2>/dev/null)

BENCH_SAE := build/bench-sae
NBGRADER := build/nbgrader

ifeq ($(OS),Windows_NT)
PY := .venv/Scripts/python.exe
BENCH_SAE_PY := $(BENCH_SAE)/Scripts/python.exe
NBGRADER_PY := $(NBGRADER)/Scripts/python.exe
else
PY := .venv/bin/python
BENCH_SAE_PY := $(BENCH_SAE)/bin/python
NBGRADER_PY := $(NBGRADER)/bin/python
endif
READY := .venv/.ready

# PyTorch comes first, from wherever this computer takes it. All the rest is exactly requirements.lock, each file
# checked against its hash; PyTorch and what it brings for GPUs are left out of that.
TORCH := $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.txt)
ifeq ($(UV),)
VENV := $(PYTHON) -m venv .venv
INSTALL := $(PY) -m pip install --disable-pip-version-check
INSTALL_TORCH := $(INSTALL) $(TORCH)
else
VENV := "$(UV)" venv --quiet --seed --python $(PYTHON) .venv
INSTALL := "$(UV)" pip install --python $(PY)
INSTALL_TORCH := $(INSTALL) --torch-backend=auto $(TORCH) || $(INSTALL) $(TORCH)
endif

# JupyterLab's own news feed: it would ask the network, and the learner, on the first start.
NEWS := "@jupyterlab/apputils-extension:announcements"

.DEFAULT_GOAL := help
.PHONY: help lab test check lint run build solutions lock report html doors bench bench-sae nbgrader preflight specimen colab-trial browser clean distclean

help:
	@echo "make lab               set everything up and open lesson 00 (LAB_ARGS=--no-browser passes flags on)"
	@echo "make test              prove everything: notebooks, lessons, exercises, unit tests, lint"
	@echo "make check             the quick part of it, without the notebooks"
	@echo "make lint              the seconds of it: lint, format, types, lessons in step with solutions"
	@echo "make preflight         is this computer ready? each line says OK or what to do"
	@echo "make run L=02          run lesson 02 without a browser and write a page to build/"
	@echo "make build             write lessons/ from solutions/"
	@echo "make solutions [L=02]  execute the solution notebooks again and store their outputs"
	@echo "make lock              requirements.lock from requirements.txt"
	@echo "make html              solutions as web pages that need no network, in build/"
	@echo "make report            measure where the course stands, build/report.json"
	@echo "make doors             spoil every argument of every public function, and say what it was told"
	@echo "make bench             the speed figures of the report"
	@echo "make bench-sae         SAE training and files beside SAELens (an environment of its own, once a few minutes)"
	@echo "make nbgrader          grade three lessons with nbgrader (an environment of its own, once a minute)"
	@echo "make browser           open a lesson in JupyterLab and the pages in a real browser, with axe"
	@echo "make colab-trial       run lesson 00 with Colab's versions (needs Python 3.13)"
	@echo "make clean             remove what the targets above wrote (make distclean: .venv too)"

# .venv is made once. It is touched again only when requirements.lock has changed in content, not
# merely in date, or when its Python no longer runs.
$(READY): requirements.lock
	@if $(PY) -c "" 2>/dev/null && cmp -s requirements.lock .venv/requirements.installed; then touch $@; else \
	  set -e; \
	  $(PY) -c "" 2>/dev/null || { \
	    $(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))" || { \
	      echo "The lab needs Python 3.11 to 3.14, and '$(PYTHON)' is not that:"; $(PYTHON) --version; \
	      echo "Install one (python.org, your package manager or conda) and name it:  make lab PYTHON=python3.12"; \
	      exit 1; }; \
	    rm -rf .venv; $(VENV) || { \
	      echo "Python could not make .venv. On Debian and Ubuntu:  sudo apt install python3-venv"; exit 1; }; }; \
	  echo "Installing the lab's packages into .venv (once; a few minutes) ..."; \
	  $(INSTALL_TORCH); \
	  awk '/^[a-z]/ {kept = !/^(torch|triton|nvidia-|cuda-)/} kept' requirements.lock > .venv/requirements.lock; \
	  $(INSTALL) --no-deps --require-hashes -r .venv/requirements.lock; \
	  $(PY) -m jupyter labextension disable --level=sys_prefix $(NEWS) >/dev/null 2>&1 || true; \
	  cp requirements.lock .venv/requirements.installed; touch $@; fi

specimen: $(READY)
	@$(PY) -m utils.preflight --fetch

lab: specimen
	$(PY) -m jupyter lab $(LAB_ARGS) lessons/00_orientation.ipynb

test: specimen
	$(PY) -m utils.authoring.notebooks.suite

check: specimen
	$(PY) -m utils.authoring.notebooks.suite --fast

lint: $(READY)
	$(PY) -m utils.authoring.notebooks.suite --lint

preflight: $(READY)
	@$(PY) -m utils.preflight

run: specimen
	@test -n "$(L)" || { echo "Which lesson?  make run L=02"; exit 1; }
	$(PY) -m utils.authoring.notebooks.page $(L)

build: $(READY)
	$(PY) -m utils.authoring.notebooks.build

# What requirements.txt needs in turn, for every Python and system, with hashes. Versions move only where they must.
lock: $(READY)
	$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --output-file requirements.lock requirements.txt

solutions: specimen
	$(PY) -m utils.authoring.notebooks.execute $(L)

html: specimen
	$(PY) -m utils.authoring.notebooks.page --solutions

report: specimen
	$(PY) -m utils.authoring.notebooks.report

doors: specimen
	$(PY) -m tests.doors

bench: specimen
	$(PY) -m utils.authoring.benchmarks

# SAELens needs TransformerLens below 4, so it gets an environment of its own. The report takes the figure from
# build/bench-sae.json.
$(BENCH_SAE)/.ready: requirements-bench-sae.txt
	$(PYTHON) -m venv $(BENCH_SAE)
	$(BENCH_SAE_PY) -m pip install --disable-pip-version-check -r requirements-bench-sae.txt
	@touch $@

bench-sae: $(BENCH_SAE)/.ready
	$(BENCH_SAE_PY) -m utils.authoring.benchmarks.sae

# nbgrader gets an environment of its own; what it grades runs in the course's.
$(NBGRADER)/.ready: requirements-nbgrader.txt
	$(PYTHON) -m venv $(NBGRADER)
	$(NBGRADER_PY) -m pip install --disable-pip-version-check -r requirements-nbgrader.txt
	@touch $@

nbgrader: $(READY) $(NBGRADER)/.ready
	$(PY) -m pytest tests/test_nbgrader.py --override-ini=addopts=-q -rs

# Colab's own list of packages is tests/data/colab-freeze.txt; the trial installs the ones a lesson
# meets into build/colab, then what Colab lacks, checks that nothing moved, and runs lesson 00.
colab-trial: specimen
	$(PY) -m tests.colab_trial

# A real browser (Chromium or Chrome, from the system) opens a lesson in JupyterLab, and the pages.
browser: specimen
	@cmp -s requirements-browser.txt .venv/requirements-browser.installed || { \
	  $(INSTALL) -r requirements-browser.txt && cp requirements-browser.txt .venv/requirements-browser.installed; }
	$(PY) -m pytest tests/browser --override-ini=addopts=-q -rs

clean:
	rm -rf build .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path "./.venv/*" -type d -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -not -path "./.venv/*" -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv
