# Each target does the set-up it needs. Small networks train on one thread each; waiting threads must sleep.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_WAIT_POLICY := PASSIVE
export OMP_NUM_THREADS := 1

.PHONY: help demo model test test-kubernetes test-monitoring lint bench docs site clean

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## */\t/' | expand -t 20

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV), once: 3 GB of packages, which takes some minutes"
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: $(VENV)/installed   ## set up, train PPO on the reference cell, enumerate, compare, write results/demo/index.html
	$(BIN)/metalore demo --out results/demo

model: $(VENV)/installed   ## set up, then: the small model that `metalore serve` serves if none is named, in results/model
	$(BIN)/python -m metalore.serve.bundled

test: $(VENV)/installed lint   ## set up, then lint and the whole test suite
	tools/install-espeak
	tools/install-chromium
	$(BIN)/python -m pytest -q

test-kubernetes: $(VENV)/installed   ## tests on a real API server, which is built first (Debian 12, as root, some minutes)
	nice -n 15 tools/kube-testbed build
	$(BIN)/python -m pytest -q tests/kubernetes

test-monitoring: $(VENV)/installed   ## rules, dashboards and alerts on a real Prometheus (Debian's, as root, if there is none)
	tools/install-prometheus
	npm install --prefix deploy/monitoring/schema --silent --no-fund --no-audit --no-package-lock --ignore-scripts || echo "Grafana's schema cannot be had; its test is skipped"
	$(BIN)/python -m pytest -q tests/monitoring

lint: $(VENV)/installed   ## formatting, lint, types, and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed model   ## speeds, as ratios measured in one run
	$(BIN)/python benchmarks/simulator.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/serving.py

docs: $(VENV)/installed   ## run every example, notebook and snippet of README and docs, and check the site
	$(BIN)/python -m pytest -q tests/test_readme.py tests/test_walk.py tests/test_examples.py tests/test_notebooks.py tests/docs

site: $(VENV)/installed   ## set up, then build the documentation site, strictly: results/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo results/site/index.html

clean:           ## everything that was made
	rm -rf $(VENV) results runs build dist
