# Five images from one file:  docker build --target api .   and   --target migrator, db, storage, pgbouncer
# No image takes modes from the checkout, which a strict umask makes readable to its owner only.

# Of which bases; `make lock-images` pins them by their digests.
ARG PYTHON_IMAGE=
ARG POSTGRES_IMAGE=
ARG PGBOUNCER_IMAGE=

# The base of both images: only Python, and a user without privileges.
FROM ${PYTHON_IMAGE:-python:3.13-slim-trixie} AS base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# The official image has Python's own modules without bytecode: each process would compile them, and could not store it.
RUN modules=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') \
    && python3 -m compileall -q -x '/(site-packages|tests?)/' "$modules" \
    && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin zoo
WORKDIR /app

# One virtual environment per image, from its locked requirements, by uv, whose own requirements are locked, too.
FROM ${PYTHON_IMAGE:-python:3.13-slim-trixie} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_SYSTEM_CERTS=1
COPY requirements/uv.txt /tmp/uv.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-compile --require-hashes --target /opt/uv -r /tmp/uv.txt && python3 -m venv --without-pip /opt/venv

FROM build AS build-api
COPY requirements/api.txt /tmp/requirements.txt
RUN --mount=type=cache,target=/root/.cache/uv \
    /opt/uv/bin/uv pip install --python /opt/venv/bin/python --require-hashes -r /tmp/requirements.txt \
    && rm /opt/venv/.lock  # all could write to it

FROM build AS build-migrator
COPY requirements/migrator.txt /tmp/requirements.txt
RUN --mount=type=cache,target=/root/.cache/uv \
    /opt/uv/bin/uv pip install --python /opt/venv/bin/python --require-hashes -r /tmp/requirements.txt \
    && rm /opt/venv/.lock  # all could write to it

FROM build AS build-storage
COPY requirements/storage.txt /tmp/requirements.txt
RUN --mount=type=cache,target=/root/.cache/uv \
    /opt/uv/bin/uv pip install --python /opt/venv/bin/python --require-hashes -r /tmp/requirements.txt

# pg_dump for rehearsals, in the server's version, with the libraries that it is linked with, and the loader.
FROM ${POSTGRES_IMAGE:-postgres:18} AS pg-dump
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN mkdir -p /opt/pg-dump/lib \
    && cp "$(readlink -f "$(command -v pg_dump)")" /opt/pg-dump/lib/pg_dump \
    && ldd /opt/pg-dump/lib/pg_dump | awk '/\// {print $(NF - 1)}' | xargs cp --dereference --target-directory=/opt/pg-dump/lib \
    && printf '#!/bin/sh\nexec /opt/pg-dump/lib/%s --library-path /opt/pg-dump/lib /opt/pg-dump/lib/pg_dump "$@"\n' \
        "$(basename /opt/pg-dump/lib/ld-linux*)" >/opt/pg-dump/pg_dump \
    && chmod 755 /opt/pg-dump/pg_dump

# The api serves, and can't migrate: it has neither Alembic nor the migrations.
FROM base AS api
COPY --from=build-api /opt/venv /opt/venv
COPY deploy/gunicorn.conf.py deploy/
COPY seed seed
COPY stack_settings stack_settings
COPY api api
# Otherwise each start would compile it, and could not store the result.
RUN chmod -R u=rwX,go=rX . && python3 -m compileall -q stack_settings api
ARG RELEASE=
ARG REVISION=
ARG SOURCE=
ARG CREATED=
ENV RELEASE=${RELEASE}
LABEL org.opencontainers.image.title="zoo-api" \
      org.opencontainers.image.description="The zoo's HTTP service" \
      org.opencontainers.image.version="${RELEASE:-dev}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.created="${CREATED}"
USER 10001:10001
EXPOSE 8000
CMD ["python3", "-m", "api.server"]

# The migrator changes the schema, and can't serve: it has the models of the api, and no web server.
FROM base AS migrator
COPY --from=build-migrator /opt/venv /opt/venv
COPY --from=pg-dump /opt/pg-dump /opt/pg-dump
ENV PATH=${PATH}:/opt/pg-dump
COPY pyproject.toml ./
COPY api/__init__.py api/
COPY api/enums api/enums
COPY api/models api/models
COPY stack_settings stack_settings
COPY alembic_online alembic_online
COPY migrator migrator
RUN chmod -R u=rwX,go=rX . && python3 -m compileall -q stack_settings alembic_online api migrator
ARG RELEASE=
ARG REVISION=
ARG SOURCE=
ARG CREATED=
ENV RELEASE=${RELEASE}
LABEL org.opencontainers.image.title="zoo-migrator" \
      org.opencontainers.image.description="Brings the zoo's schema to this release" \
      org.opencontainers.image.version="${RELEASE:-dev}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.created="${CREATED}"
USER 10001:10001
CMD ["alembic", "upgrade", "head"]

# The database: Postgres with the roles' script in it, which Postgres would skip in silence if it could not read it. It has
# no label of a release or a commit: a new image would stop the database for each of them.
FROM ${POSTGRES_IMAGE:-postgres:18} AS db
LABEL org.opencontainers.image.title="zoo-db" \
      org.opencontainers.image.description="Postgres with the zoo's roles"
COPY deploy/postgres /opt/zoo
RUN sed -i 's/\r$//' /opt/zoo/* \
    && chmod -R u=rwX,go=rX /opt/zoo \
    && chmod 755 /opt/zoo/*.sh \
    && ln -s /opt/zoo/10-roles.sh /docker-entrypoint-initdb.d/ \
    && chmod 3777 /var/run/postgresql  # a tmpfs there gets this mode
# The folder of the volume belongs to this user, whose number differs between images of Postgres.
# hadolint ignore=DL3066
USER postgres
ENTRYPOINT ["/opt/zoo/entrypoint.sh"]
CMD ["postgres"]

# The storage: SeaweedFS, an S3 for this machine. Like the database's, it has no label of a release.
FROM base AS storage
COPY --from=build-storage /opt/venv/bin/weed /usr/local/bin/
COPY deploy/postgres/secrets.sh deploy/postgres/weakness.awk deploy/storage /opt/zoo/
RUN sed -i 's/\r$//' /opt/zoo/* \
    && chmod -R u=rwX,go=rX /opt/zoo \
    && chmod 755 /opt/zoo/*.sh \
    && install -d -o zoo -g zoo /data  # a new volume there gets this owner
LABEL org.opencontainers.image.title="zoo-storage" \
      org.opencontainers.image.description="SeaweedFS with the zoo's keys"
USER 10001:10001
EXPOSE 8333
ENTRYPOINT ["/opt/zoo/entrypoint.sh"]
CMD ["-dir=/data", "-s3.ip.bind=0.0.0.0"]

# The pooler, if one is used, with its configuration for the zoo.
FROM ${PGBOUNCER_IMAGE:-ghcr.io/cloudnative-pg/pgbouncer:1.26.0} AS pgbouncer
COPY deploy/postgres/secrets.sh deploy/postgres/weakness.awk deploy/pgbouncer /opt/zoo/
USER 0
RUN sed -i 's/\r$//' /opt/zoo/* \
    && chmod -R u=rwX,go=rX /opt/zoo \
    && chmod 755 /opt/zoo/*.sh
LABEL org.opencontainers.image.title="zoo-pgbouncer" \
      org.opencontainers.image.description="PgBouncer with the zoo's roles"
USER 10001:10001
EXPOSE 6432
ENTRYPOINT ["/opt/zoo/entrypoint.sh"]
