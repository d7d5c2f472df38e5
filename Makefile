# `make` lists what there is. Everything lives in this folder: .venv, and var for data.

BIN = .venv/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTHONS = python3.11 python3.12 python3.13 python3.14 python3
READY = .venv/.ready

.PHONY: help run test test-fast bench chaos interleavings guards fuzz audit screenshots check format lock clean

help: ## List these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
	while IFS='|' read -r target what; do printf '  make %-14s %s\n' "$$target" "$$what"; done

run: $(READY) ## Run all of it on this machine (PORT=8000, HOST=127.0.0.1); Ctrl-C stops it
	@$(BIN)/python -m orders_project.local.run

test: check ## Every check and every test
	@$(BIN)/python -m pytest -n 2

test-fast: $(READY) ## The tests but the slow ones
	@$(BIN)/python -m pytest -n 2 -m "not slow"

bench: $(READY) ## Every benchmark, into docs/performance.md; some of them: ROWS="1 2"
	@$(BIN)/python -m benchmarks $(ROWS)

chaos: $(READY) ## Break the running stack for ten minutes, and see that nothing is lost (MINUTES=10 SEED=1)
	@$(BIN)/python -m proofs.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

interleavings: $(READY) ## Every two verbs, statement by statement, in every order
	@$(BIN)/python -m proofs.interleavings

guards: $(READY) ## Take each guard out, and see a test go red without it (ONLY="word word")
	@$(BIN)/python -m proofs.guards $(ONLY)

fuzz: $(READY) ## Thousands of nonsensical requests, forms, files and orders of events
	@$(BIN)/python -m proofs.fuzz $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

audit: $(READY) ## What is known against the packages that Holdfast uses
	@$(BIN)/python -m proofs.dependencies

screenshots: $(READY) ## Every page at 1280 and 375 px, light and dark, into var/screenshots (needs Chromium)
	@$(BIN)/python -m orders_project.local.screenshots $(PAGES)

check: $(READY) ## Format, lint, types, import arrows, missing migrations
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache --no-logo
	@DJANGO_SETTINGS_MODULE=orders_project.settings_test $(BIN)/python manage.py makemigrations --check --dry-run

format: $(READY) ## Format the code and fix what can be fixed
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command 'make lock' --upgrade
lock: $(READY) ## Resolve requirements*.in anew into requirements*.txt
	@$(COMPILE) --output-file requirements.txt requirements.in
	@$(COMPILE) --output-file requirements-dev.txt requirements-dev.in

clean: ## Remove the virtual environment and caches; var, the data, stays
	@rm -rf .venv staticfiles .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './var/*' -prune -exec rm -rf {} +

# Made last, so that an interrupted installation is done again.
$(READY): requirements.txt requirements-dev.txt
	@for python in $(PYTHONS); do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found=$$python; break; fi; done; \
	if [ -z "$$found" ]; then \
	  echo "Holdfast needs Python 3.11 or newer with its venv module; none of these is: $(PYTHONS)" >&2; exit 1; fi; \
	echo "Installing into .venv (the first time takes a minute) ..."; \
	$$found -m venv --clear .venv
	@$(PIP) install --require-hashes -r requirements.txt -r requirements-dev.txt
	@touch $@
