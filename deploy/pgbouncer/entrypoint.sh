#!/bin/sh
# Starts PgBouncer between the api and Postgres (docs/operations.md, "Poolers"). It knows two users: zoo_api, and zoo_pooler,
# who may use its admin console, and nothing else: the migrator goes past it. DATABASE_HOST and DATABASE_PORT say where
# Postgres is. With a CA's certificate in DATABASE_CA_FILE, that has to prove itself; with a certificate and its key in
# POOLER_CERT_FILE and POOLER_KEY_FILE, clients have to use TLS. A Postgres that went away is looked for each second, and not
# after 15 s.
set -eu
SCRIPTS=$(dirname "$0")
. "$SCRIPTS/secrets.sh"
FILES=${TMPDIR:-/tmp}
umask 077

# user NAME SETTING: a line of the file of users, with the password in that setting
user() {
    read_secret "$2"
    password=$(eval "printf %s \"\${$2:-}\"")
    reason=$(printf %s "$password" | weakness)
    if [ "${ENVIRONMENT:-local}" = production ] && [ -n "$reason" ]; then
        echo "$2 $reason: set another before running in production (openssl rand -base64 32 makes one)" >&2
        exit 3
    fi
    printf '"%s" "%s"\n' "$1" "$(printf %s "$password" | sed 's/"/""/g')"
}

user zoo_api DATABASE_PASSWORD >"$FILES/users.txt"
user zoo_pooler POOLER_PASSWORD >>"$FILES/users.txt"

cat >"$FILES/pgbouncer.ini" <<END
[databases]
* = host=${DATABASE_HOST:-db} port=${DATABASE_PORT:-5432}

[pgbouncer]
listen_addr = *
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $FILES/users.txt
admin_users = zoo_pooler
pool_mode = transaction
max_prepared_statements = 200
max_client_conn = 1000
default_pool_size = 20
server_login_retry = 1
log_connections = 0
log_disconnections = 0
END
if [ -n "${DATABASE_CA_FILE:-}" ]; then
    printf '%s\n' 'server_tls_sslmode = verify-full' "server_tls_ca_file = $DATABASE_CA_FILE" >>"$FILES/pgbouncer.ini"
fi
if [ -n "${POOLER_CERT_FILE:-}" ]; then
    printf '%s\n' 'client_tls_sslmode = require' "client_tls_cert_file = $POOLER_CERT_FILE" \
        "client_tls_key_file = $POOLER_KEY_FILE" >>"$FILES/pgbouncer.ini"
fi
exec pgbouncer "$FILES/pgbouncer.ini"
