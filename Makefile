# Everyday commands. `make` lists them.

PY := .venv/bin/python
PYTEST := $(PY) -m pytest
# In random order, and three at once on two cores: tests, and what they start, wait for a third of their time.
AT_ONCE = 3
IN_PARALLEL = -p randomly --numprocesses $(or $(WORKERS),$(AT_ONCE)) --dist worksteal
# Uses MIGRATION_DATABASE_URL and DATABASE_URL; if neither is set, the embedded Postgres of `make run`.
ALEMBIC := $(PY) -m local exec alembic
REV ?= head

# If it were set, each of the hundreds of processes would compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help:
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' \
	  $(MAKEFILE_LIST)

# Made anew if its Python is gone.
.venv/local .venv/dev .venv/release: $(if $(wildcard .venv),$(shell $(PY) -c '' 2>/dev/null || echo no-python))
no-python:

.venv/local: requirements/local.txt requirements/uv.txt
	@local/install.sh local
	@touch $@

.venv/dev: requirements/dev.txt requirements/uv.txt
	@local/install.sh dev
	@touch .venv/local $@

.venv/release: requirements/release.txt requirements/uv.txt
	@local/install.sh release
	@touch $@

##@ Start it without Docker

run: .venv/local  ## migrate, seed and serve on 127.0.0.1:8000 (PORT=)
	@$(PY) -m local run

postgres: .venv/local  ## keep the embedded Postgres running, for commands in other shells
	@$(PY) -m local postgres

user: .venv/local  ## create a user of `make run` (EMAIL=, TYPE=visitor, keeper or admin); asks for the password, or reads it
	@test -n "$(EMAIL)" || { echo 'name the account: make user EMAIL=you@zoo.example TYPE=admin' >&2; exit 2; }
	@$(PY) -m local exec api create-user "$(EMAIL)" --type "$(or $(TYPE),visitor)"

import: .venv/local  ## load records from a CSV file (RESOURCE=animals FILE=, UPDATE=1, DRY_RUN=1)
	@test -n "$(RESOURCE)" -a -n "$(FILE)" || { echo 'say what: make import RESOURCE=animals FILE=animals.csv' >&2; exit 2; }
	@$(PY) -m local exec api import "$(RESOURCE)" "$(FILE)" $(if $(UPDATE),--update) $(if $(DRY_RUN),--dry-run)

clean:  ## remove the virtual environment and the embedded Postgres's data
	@rm -rf .venv .data

##@ Start it with Docker

up:  ## build and start the Compose stack, and wait until it serves (MAIL=1: its mail on 127.0.0.1:8025)
	@. deploy/build-args.sh && $(if $(MAIL),SMTP_URL=smtp://mail:1025 SMTP_PASSWORD=) \
	  docker compose $(if $(MAIL),--profile mail) up --detach --build --wait \
	  || { docker compose logs --no-log-prefix --tail 20 db migrator; exit 1; }
	@address=http://$$(docker compose port api 8000 2>/dev/null || docker compose port proxy 8000) && \
	  echo "It serves at $$address, with docs at $$address/docs"

watch:  ## the same, and bring changes of the code, the requirements and the revisions into the containers
	@. deploy/build-args.sh && docker compose -f docker-compose.yml -f docker-compose.watch.yml watch

seed:  ## load the seed data into the Compose stack, if it is empty
	@docker compose run --rm seed

admin:  ## create an admin in the Compose stack (EMAIL=); asks for the password, or reads it from standard input
	@test -n "$(EMAIL)" || { echo 'name the account: make admin EMAIL=you@zoo.example' >&2; exit 2; }
	@docker compose run --rm $$([ -t 0 ] || echo --no-TTY) api python -m api create-user "$(EMAIL)" --type admin

down:  ## stop the Compose stack; the data is kept
	@docker compose --profile '*' down

backup:  ## save the Compose stack's database in backups/ (TO=s3: in the bucket of backups)
	@deploy/backup save $(TO)

restore:  ## put a backup in the place of the Compose stack's database (FILE=; REPLACE=1: though that is not empty)
	@deploy/backup restore "$(FILE)" $(if $(REPLACE),replace)

rehearse-restore:  ## restore a backup into a scratch database, and compare (FILE=, by default one that is made now)
	@deploy/backup rehearse "$(FILE)"

##@ If it does not start

doctor:  ## say what is missing on this machine and in this checkout, and how to mend it
	@sh -c "$$(tr -d '\r' <local/doctor.sh)" local/doctor.sh

##@ Migrate

migrate: .venv/local  ## bring the schema to the newest revision (REV=)
	@$(ALEMBIC) upgrade $(REV)

downgrade: .venv/local  ## undo the newest revision (REV=)
	@$(ALEMBIC) downgrade $(if $(filter head,$(REV)),-1,$(REV))

stamp: .venv/local  ## mark a revision as applied without running it (REV=)
	@$(ALEMBIC) stamp $(REV)

##@ Look at the schema

status: .venv/local  ## show the schema's revision, running migrators, invalid indexes, drift
	@$(PY) -m local exec alembic_online status

current: .venv/local  ## show the revision that the database is at
	@$(ALEMBIC) current

drift: .venv/local  ## say whether the models and the schema differ
	@$(ALEMBIC) check

history: .venv/local  ## list the revisions
	@$(PY) -m alembic history

heads: .venv/local  ## show the newest revision
	@$(PY) -m alembic heads

show: .venv/local  ## show one revision (REV=)
	@$(PY) -m alembic show $(REV)

##@ Write a revision

revision: .venv/dev  ## write a revision from the changes of the models (m="what it does")
	@test -n "$(m)" || { echo 'say what the revision does: make revision m="add heroes"' >&2; exit 2; }
	@$(ALEMBIC) revision --autogenerate -m "$(m)"
	@$(PY) -m local.needed_revision

lint: .venv/local  ## say what is wrong with the revisions, before they run
	@$(PY) -m alembic_online lint

plan: .venv/local  ## show what the pending revisions will do, to which tables, and who is in their way
	@$(PY) -m local exec alembic_online plan

rehearse: .venv/local  ## run the pending revisions up, down and up on a scratch database (SAMPLE=rows of each table)
	@$(PY) -m local exec alembic_online rehearse $(if $(SAMPLE),--sample $(SAMPLE))

sql: .venv/local  ## print the SQL of all revisions instead of running it (REV=)
	@$(PY) -m alembic upgrade $(REV) --sql

##@ Change the code

install: .venv/dev  ## install what the commands below need, into .venv

check: .venv/dev  ## lint, types, layers, Dockerfile, Compose file
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(MAKE) --silent lint
	@.venv/bin/hadolint Dockerfile deploy/*/Dockerfile
	@if command -v docker >/dev/null && docker compose version >/dev/null 2>&1; then docker compose config --quiet; \
	elif [ -n "$$CI" ]; then echo "docker compose is missing" >&2; exit 1; else echo "no docker compose: its file was not checked" >&2; fi

format: .venv/dev  ## format the code and fix what ruff can fix
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format .

lock: .venv/dev  ## update the locked requirements (UPGRADE=1 for newer versions)
	@for group in dev local api migrator storage uv release linters clients; do \
	  .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --group $$group \
	    $$(case $$group in dev | clients) ;; *) echo "--constraints requirements/dev.txt" ;; esac) $(if $(UPGRADE),--upgrade) \
	    --output-file requirements/$$group.txt pyproject.toml; \
	done
	@if command -v npm >/dev/null; then npm $(if $(UPGRADE),update,install) --prefix tests/clients --package-lock-only \
	  --ignore-scripts --no-audit --no-fund >/dev/null; else echo "no npm: tests/clients/package-lock.json stays" >&2; fi

lock-images:  ## pin the base images by the digests that their tags have now, in images.env (needs a registry)
	@deploy/lock-images.sh

bench: .venv/dev  ## measure the api beside its peers, and write benchmarks/RESULTS.md (needs wrk: apt-get install wrk)
	@$(PY) -m benchmarks

bench-reads: .venv/dev  ## compare the instructions of a read with those at another revision (BASE=; needs valgrind)
	@$(PY) -m benchmarks.instructions $(or $(BASE),HEAD)

bench-observing: .venv/dev  ## count what metrics and traces add to the instructions of a read (needs valgrind)
	@$(PY) -m benchmarks.observing

bench-linters: .venv/dev  ## measure the lint beside other linters, and write benchmarks/LINTERS.md
	@$(PY) -m benchmarks.linters

bench-migrator: .venv/dev  ## measure a run with 1,000 revisions and 1,000 tables, and write benchmarks/MIGRATOR.md
	@$(PY) -m benchmarks.migrator

bench-scale: .venv/dev  ## measure each request with up to ten million rows, and write benchmarks/SCALE.md (SIZES="10000 100000"; 20 GB)
	@$(PY) -m benchmarks.scale $(SIZES)

##@ Make it yours

rename: .venv/dev  ## give the project another name: of roles, databases, images and the rest (NAME=)
	@$(PY) -m local.rename "$(NAME)"

fresh-migrations: .venv/dev  ## one first revision from the models, in place of all (FORCE=1: though there are data, or git lacks some)
	@$(PY) -m local.fresh_migrations $(if $(FORCE),--force)

alerts:  ## write Kubernetes' copy of the alerts in deploy/prometheus
	@rules=deploy/kubernetes/components/observe/rules.yaml && \
	  { sed '/^spec:/q' $$rules && sed -n '/^groups:/,$$p' deploy/prometheus/alerts.yml | sed 's/./  &/'; } >$$rules.new && \
	  mv $$rules.new $$rules

##@ Release it

release: .venv/dev .venv/release  ## commit, tag and build a release, with SBOMs and checksums; push nothing (VERSION=)
	@. deploy/build-args.sh && $(PY) -m local.release "$(VERSION)"

##@ Test it (ROUNDS=full: with more rounds, see docs/tests.md)

# Its tests start hardly anything, so that one more is worth what it costs.
test: AT_ONCE = 4
test: .venv/dev  ## test the api and the parts of the tool, on a real Postgres
	@$(PYTEST) $(IN_PARALLEL) $(addprefix --ignore tests/,deploy processes faults live stack)

test-deploy: .venv/dev  ## test the files of Compose, Swarm, Kubernetes and Prometheus, as their programs read them
	@$(PYTEST) $(IN_PARALLEL) tests/deploy

test-processes: .venv/dev  ## test what people run: make run, the migrator, the commands of the documents
	@$(PYTEST) $(IN_PARALLEL) tests/processes

test-faults: .venv/dev  ## test migrators and requests in each other's way, and the api under faults
	@$(PYTEST) $(IN_PARALLEL) tests/faults

test-postgres: .venv/dev  ## test the migrator on the other versions of Postgres that Debian has installed
	@set -- $(wildcard /usr/lib/postgresql/*/bin); \
	if [ $$# = 0 ]; then echo "no other Postgres is installed, so none was tested" >&2; [ -z "$$CI" ] || exit 1; fi; \
	for programs; do \
	  "$$programs/postgres" --version; \
	  POSTGRES_BIN=$$programs $(PYTEST) $(IN_PARALLEL) tests/migrator tests/alembic_online/lint/test_examples.py \
	    tests/alembic_online/test_operations.py tests/alembic_online/test_drift.py \
	    tests/processes/test_roles_script.py || exit; \
	done

test-live: .venv/dev  ## change a table under load, from one release of the api to the next
	@$(PYTEST) tests/live

test-stack: test-stacks test-swarm  ## build the images and drive the real Compose stack

# Two stacks at once.
test-stacks: .venv/dev
	@one=$$(mktemp) && trap 'rm "$$one"' EXIT && { $(PYTEST) tests/stack -m one_stack >"$$one" 2>&1 & } && \
	$(PYTEST) tests/stack -m 'not one_stack' --ignore tests/stack/test_swarm.py; others=$$?; \
	wait $$!; ended=$$?; cat "$$one"; [ "$$others$$ended" = 00 ]

# Without other stacks beside it: when a swarm is left, Docker forgets the names of all containers.
test-swarm: .venv/dev
	@$(PYTEST) tests/stack/test_swarm.py

mutants: .venv/dev  ## put small faults into the code, and say which no test finds; hours (ROUNDS=quick: 30 of them; IN=paths)
	@ROUNDS=$${ROUNDS:-full} $(PY) -m tests.mutants $(IN)

test-full: export ROUNDS = full
test-full: test test-deploy test-processes test-faults test-postgres test-live test-stack  ## all of these with ROUNDS=full

.PHONY: no-python help run postgres user import clean up seed watch admin down backup restore rehearse-restore doctor migrate \
        downgrade stamp status current drift history heads show revision lint plan rehearse sql rename fresh-migrations \
        install check format lock lock-images alerts bench bench-reads bench-observing bench-linters bench-migrator \
        bench-scale release test \
        mutants test-deploy test-processes test-faults test-postgres test-live test-stack test-stacks test-swarm test-full
