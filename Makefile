# Everything is installed into .venv, from the locks in infra/requirements. `make help` lists the targets.

PORT ?= 8787
# interpreters to make .venv with, in order; empty: from python3.14 down to python3.11, then python3
PYTHON ?=
UV_VERSION = 0.13.9
# of deployments to AWS: what functions are configured by, and parameters of the stack ("Domain=... AlarmEmail=...")
CONFIG = sluice.toml
STAGE =
PARAMS =
TO =
override BIN := .venv/bin

PYTEST = $(BIN)/python -m pytest
UNIT = tests/unit --ignore=tests/unit/dynamodb
CONTRACT = tests/contract tests/unit/dynamodb
COVERAGE = --cov --cov-report=

# a .venv without its interpreter is as good as none, whatever its stamps say
ifneq ($(shell $(BIN)/python -c '' 2>/dev/null && echo usable),usable)
NO_VENV = no-venv
endif
# expanded only where something is to be installed; ends make with the one line that says what is missing
FOUND = $(shell infra/python $(PYTHON))
USABLE = $(if $(filter missing:,$(FOUND)),$(error $(FOUND)),$(FOUND))

.PHONY: run doctor smoke-aws run-cloudflare package-cloudflare smoke-cloudflare package-aws deploy-aws \
rollback-aws test install fmt check bench bench-cloudflare soak lock help no-venv
.DEFAULT_GOAL := help

# `set -m`: on a terminal, Ctrl-C reaches Sluice alone, which ends in order; make itself would die of it
run: .venv/.local ## Serve on port 8787 with SQLite and the embedded model (make run PORT=9000); reads .env.
	@set -a; [ ! -f .env ] || . ./.env; set +a; [ ! -t 0 ] || set -m; $(BIN)/sluice serve --port $(PORT)

test: check tests/edge/.prepared infra/aws/.prepared ## Check, then run all tests; leaves coverage.xml.
	@rm -f .coverage coverage.xml
	@echo "unit tests ..."; start=$$(date +%s); \
	$(PYTEST) $(UNIT) -n 2 $(COVERAGE) && \
	echo "unit tests took $$(($$(date +%s) - start)) s (to stay under 30 s)"
	@echo "contract suites on all engines ..."
	@$(PYTEST) $(CONTRACT) -n 2 $(COVERAGE) --cov-append
	@echo "all other tests ..."
	@$(PYTEST) --ignore=tests/unit $(CONTRACT:%=--ignore=%) --ignore=tests/simulation -n 2 --dist loadfile \
	$(COVERAGE) --cov-append --cov-report=xml
	@$(BIN)/python -m infra.coverage coverage.xml
	@echo "simulations ..."
	@$(PYTEST) tests/simulation -n 2

doctor: .venv/.local ## Check configuration, storage and providers; reads .env.
	@set -a; [ ! -f .env ] || . ./.env; set +a; $(BIN)/sluice doctor

run-cloudflare: tests/edge/.prepared ## Serve the Workers' own code, offline, on port 8787; reads sluice.toml and .dev.vars.
	@set -m; $(BIN)/python -m tests.edge.run --port $(PORT)

package-cloudflare: tests/edge/.prepared ## Stage and check what is deployed to Cloudflare, below build/cloudflare.
	@$(BIN)/python -m infra.cloudflare.package --dry-run

smoke-aws: .venv/.dev ## Prove what is deployed (URL=https://llm.example.com/v1 KEY=sk-sluice-...): see docs/setup/aws.md.
	@SLUICE_KEY="$(KEY)" $(BIN)/python -m infra.smoke --url "$(URL)" $(if $(MODEL),--model "$(MODEL)")

smoke-cloudflare: .venv/.dev ## Prove a deployment (URL=https://llm.example.com/v1 KEY=sk-sluice-...): some thirty short answers.
	@SLUICE_KEY="$(KEY)" $(BIN)/python -m infra.smoke --url "$(URL)"

package-aws: .venv/.dev ## Build what is deployed to AWS, below build/aws: no account needed (CONFIG=sluice.toml).
	@$(BIN)/python -m infra.aws.package --config $(CONFIG)

deploy-aws: package-aws infra/aws/.prepared ## Make or update a stage on AWS (STAGE=dev PARAMS="Domain=..."): see serverless.yml.
	@$(BIN)/python -m infra.aws.osls deploy --stage "$(STAGE)" $(PARAMS:%=--param="%")

rollback-aws: infra/aws/.prepared ## Go back to a stage's deployment before the last (STAGE=dev; TO=list, TO=TIMESTAMP).
	@$(BIN)/python -m infra.aws.osls rollback --stage "$(STAGE)" --to "$(TO)" $(PARAMS:%=--param="%")

install: .venv/.dev ## Create .venv with everything that work on Sluice needs, so .venv/bin/sluice.

fmt: .venv/.dev ## Format the code and mend what the linter can mend.
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

check: .venv/.dev ## Format check, lint, strict types, import contracts.
	@echo "checking format, lint, types, imports ..."
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --strict --no-error-summary
	@$(BIN)/lint-imports --no-cache >.venv/.imports || { cat .venv/.imports; exit 1; }

bench: .venv/.dev ## Measure CPU, latency, memory and imports beside the floor and the committed figures.
	@$(BIN)/python -m benchmarks

bench-cloudflare: tests/edge/.prepared ## Measure the Workers in Pyodide: CPU, imports, and that memory stays flat.
	@$(BIN)/python -m benchmarks.on_workers

soak: .venv/.dev ## Run properties with many more examples, faults with full waits, then seeds until one fails.
	@HYPOTHESIS_PROFILE=soak $(PYTEST) $(UNIT) -n 2 -k "sse or stream or relay or meter"
	@SLUICE_FULL_WAITS=1 $(PYTEST) tests/functions/test_faults.py -n 2
	@n=2000; while SLUICE_SEEDS=$$n-$$((n + 10000)) $(PYTEST) tests/simulation/test_gateway.py -n 2 -q -k seeds; \
	do n=$$((n + 10000)); done

lock: .venv/.dev ## Regenerate the locks, keeping versions (make lock UPGRADE=--upgrade raises them).
	@echo "locking ..."
	@$(BIN)/python -m pip install --disable-pip-version-check -qq uv==$(UV_VERSION)
	@UV=$(BIN)/uv infra/requirements/lock $(UPGRADE)

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-18s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.venv/.local: infra/requirements/local.txt pyproject.toml $(NO_VENV)
	@infra/install $(USABLE) local

.venv/.dev: infra/requirements/dev.txt pyproject.toml $(NO_VENV)
	@infra/install $(USABLE) dev local

infra/aws/.prepared: infra/aws/package-lock.json infra/aws/setup.sh .venv/.dev
	@echo "installing osls ..."
	@PYTHON="$(CURDIR)/$(BIN)/python" infra/aws/setup.sh
	@touch $@

tests/edge/.prepared: tests/edge/package-lock.json tests/e2e/package-lock.json tests/edge/setup.sh \
infra/requirements/cloudflare.txt .venv/.dev
	@echo "installing locked npm packages ..."
	@PYTHON="$(CURDIR)/$(BIN)/python" sh tests/edge/setup.sh
	@touch $@
