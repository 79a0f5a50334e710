# `make run` and `make test` are all there is to know. Each sets up what it needs in .venv, once,
# and again when pyproject.toml changes.

PYTHON ?= python3
SEEDS ?= 2000
JOBS ?= 3
VENV := .venv
BIN := $(VENV)/bin
MITMPROXY := $(VENV)/mitmproxy/bin/mitmdump

.DEFAULT_GOAL := help
.PHONY: help run test check coverage e2e-browser bench sim docs site release-check clean

help:  ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*##  */make \1	/p' $(MAKEFILE_LIST)

run: $(VENV)/for-run  ## run the proxy of conf/proxy.toml
	$(BIN)/vcproxy -c conf/proxy.toml

test: $(VENV)/for-dev  ## run all tests, JOBS=3 at a time
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

check: $(VENV)/for-dev  ## static checks: style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy docs/cookbook/*.py samples/bus/*.py samples/staged/*.py
	$(BIN)/mypy --scripts-are-modules samples/machines/*/[A-Z]*
	$(BIN)/lint-imports --no-logo

coverage: $(VENV)/for-dev  ## lines that no test in this process runs; fails below the floor
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(JOBS) --dist worksteal \
		--ignore tests/e2e --ignore tests/sim --ignore tests/docs --ignore tests/cookbook \
		--ignore tests/browser
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

sim: $(VENV)/for-dev  ## SEEDS=2000 random simulations, 10000 of machines; VCPROXY_SEED=17 make sim repeats one
	VCPROXY_SEEDS=$(SEEDS) $(BIN)/python -m pytest --timeout 0 tests/sim \
		--ignore tests/sim/test_machines.py
	VCPROXY_SEEDS=$$(($(SEEDS) * 5)) $(BIN)/python -m pytest --timeout 0 -n $(JOBS) \
		tests/sim/test_machines.py

e2e-browser: $(VENV)/for-dev $(VENV)/for-browser  ## the dashboard in a real, headless Chromium
	$(BIN)/python -m pytest tests/browser

bench: $(VENV)/for-bench $(MITMPROXY)  ## measure it beside other proxies
	$(BIN)/python -m tests.bench

docs: $(VENV)/for-run  ## regenerate the generated pages of docs/reference
	$(BIN)/python -m tests.docs.generated

site: $(VENV)/for-docs  ## the documentation as HTML, in build/site
	$(BIN)/sphinx-build --quiet --fail-on-warning -c docs/site docs build/site

release-check: $(VENV)/for-dev $(VENV)/for-release  ## whether this can be released; DEB=1: with the package
	$(BIN)/python packaging/check_release.py $(if $(DEB),--deb)

clean:  ## remove what make has made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage build *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/for-run: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/for-%: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --editable '.[$*]'
	@touch $@

$(MITMPROXY): | $(BIN)/python  # it asks for older libraries than ours
	$(PYTHON) -m venv $(VENV)/mitmproxy
	$(VENV)/mitmproxy/bin/pip install --quiet mitmproxy
