# The commands of every day. `make` lists them.

PY := .venv/bin/python
# On MIGRATION_DATABASE_URL and DATABASE_URL; with neither set, on the embedded Postgres of `make run`.
ALEMBIC := $(PY) -m local exec alembic
REV ?= head

.DEFAULT_GOAL := help

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- without Docker ---------------------------------------------------------------------------------------------------

run: .venv/local  ## migrate, seed and serve on 127.0.0.1:8000 (PORT=), without Docker
	@$(PY) -m local run

postgres: .venv/local  ## keep the embedded Postgres running, for commands in other shells
	@$(PY) -m local postgres

install: .venv/dev  ## install what the other commands need, into .venv

.venv/local: requirements/local.txt
	@$(PY) -m pip --version >/dev/null 2>&1 || python3 -m venv --clear .venv
	@echo "installing $< into .venv"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv/dev: requirements/dev.txt .venv/local
	@echo "installing $< into .venv"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# --- migrations -------------------------------------------------------------------------------------------------------

migrate: .venv/local  ## bring the schema to the newest revision (REV=)
	@$(ALEMBIC) upgrade $(REV)

downgrade: .venv/local  ## take the newest revision back (REV=)
	@$(ALEMBIC) downgrade $(if $(filter head,$(REV)),-1,$(REV))

revision: .venv/dev  ## write a revision from what changed in the models (m="what it does")
	@test -n "$(m)" || { echo 'say what it does: make revision m="add heroes"' >&2; exit 2; }
	@$(ALEMBIC) revision --autogenerate -m "$(m)"

lint: .venv/local  ## tell what is wrong with the revisions, before they run
	@$(PY) -m migrator lint

plan: .venv/local  ## show what the pending revisions will do, to which tables, and who is in their way
	@$(PY) -m local exec migrator plan

rehearse: .venv/local  ## run the pending revisions up, down and up on a scratch database (SAMPLE=rows of each table)
	@$(PY) -m local exec migrator rehearse $(if $(SAMPLE),--sample $(SAMPLE))

current: .venv/local  ## show the revision that the database is at
	@$(ALEMBIC) current

history: .venv/local  ## list the revisions
	@$(PY) -m alembic history

heads: .venv/local  ## show the newest revision
	@$(PY) -m alembic heads

show: .venv/local  ## show one revision (REV=)
	@$(PY) -m alembic show $(REV)

stamp: .venv/local  ## note a revision as applied without running it (REV=)
	@$(ALEMBIC) stamp $(REV)

sql: .venv/local  ## print the SQL of all revisions instead of running it (REV=)
	@$(PY) -m alembic upgrade $(REV) --sql

status: .venv/local  ## show where the schema is, who migrates, invalid indexes, drift
	@$(PY) -m local exec migrator status

drift: .venv/local  ## tell whether the models and the schema differ
	@$(ALEMBIC) check

# --- Docker -----------------------------------------------------------------------------------------------------------

up:  ## build and start the Compose stack, and wait until it serves
	@docker compose up --detach --build --wait

seed:  ## load the seed data into the Compose stack
	@docker compose run --rm api python -m api seed

admin:  ## make an admin in the Compose stack (EMAIL=); asks for the password, or reads it from standard input
	@test -n "$(EMAIL)" || { echo 'say whose account it is: make admin EMAIL=you@zoo.example' >&2; exit 2; }
	@docker compose run --rm $$([ -t 0 ] || echo --no-TTY) api python -m api create-user "$(EMAIL)" --type admin

down:  ## stop the Compose stack; the data stay
	@docker compose down

# --- proof ------------------------------------------------------------------------------------------------------------

test: .venv/dev  ## run the tests that need no Docker
	@$(PY) -m pytest --numprocesses 2 --dist worksteal --ignore tests/processes --ignore tests/faults --ignore tests/live --ignore tests/stack

test-processes: .venv/dev  ## run what people run: make run, the migrator, the commands of the documents, without Docker
	@$(PY) -m pytest --numprocesses 2 --dist worksteal tests/processes

test-faults: .venv/dev  ## migrators and requests in each other's way, and the api under faults, without Docker
	@$(PY) -m pytest --numprocesses 2 --dist worksteal tests/faults

test-live: .venv/dev  ## change a table of a million rows under load, without Docker
	@$(PY) -m pytest tests/live

test-stack: .venv/dev  ## build the images and drive the real Compose stack
	@$(PY) -m pytest tests/stack

bench: .venv/dev  ## measure the api beside its peers, and write benchmarks/RESULTS.md (needs wrk: apt-get install wrk)
	@$(PY) -m benchmarks

check: .venv/dev  ## lint, types, layers, Dockerfile, Compose file
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(MAKE) --silent lint
	@.venv/bin/hadolint Dockerfile deploy/proxy/Dockerfile
	@if command -v docker >/dev/null && docker compose version >/dev/null 2>&1; then docker compose config --quiet; \
	elif [ -n "$$CI" ]; then echo "docker compose is missing" >&2; exit 1; else echo "no docker compose: its file was not checked" >&2; fi

format: .venv/dev  ## let ruff format the code and mend what it can
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format .

lock: .venv/dev  ## renew the locked requirements (UPGRADE=1 for newer versions)
	@for group in dev local api migrator; do \
	  .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --group $$group \
	    $$([ $$group = dev ] || echo "--constraints requirements/dev.txt") $(if $(UPGRADE),--upgrade) \
	    --output-file requirements/$$group.txt pyproject.toml; \
	done

clean:  ## remove the virtual environment and the embedded Postgres's data
	@rm -rf .venv .data

.PHONY: help run postgres install migrate downgrade revision lint plan rehearse current history heads show stamp sql \
        status drift up seed admin down test test-processes test-faults test-live test-stack bench check format lock clean
