"""A database elsewhere, which demands TLS and has a certificate of its own CA, for the stack's api and migrator."""

import json
from pathlib import Path

from tests.authority import Authority
from tests.conftest import ROOT
from tests.stack.stack import Stack

START = """
ln -s /opt/zoo/10-roles.sh /docker-entrypoint-initdb.d/
mkdir /tls && cp /given/* /tls && chown -R postgres /tls && chmod 600 /tls/server.key
exec docker-entrypoint.sh postgres -c ssl=on -c ssl_cert_file=/tls/server.crt -c ssl_key_file=/tls/server.key \
    -c hba_file=/tls/hba
"""
HBA = "local all all trust\nhostssl all all all scram-sha-256\n"
VERIFIED = "sslmode=verify-full&sslrootcert=/run/secrets/database_ca"


def url(role: str, parameters: str = VERIFIED) -> str:
    return f"postgresql://{role}@elsewhere:5432/zoo?{parameters}"


def test_a_database_elsewhere_is_used_if_it_proves_itself(stack_to_change: Stack, tmp_path: Path) -> None:
    stack = stack_to_change
    own, given = Authority(tmp_path, "own"), tmp_path / "given"
    given.mkdir()
    for path, name in zip(own.give("right", "elsewhere"), ("server.crt", "server.key"), strict=True):
        path.rename(given / name)
    (given / "hba").write_text(HBA)
    passwords = {
        "POSTGRES_PASSWORD": "x",
        "DATABASE_PASSWORD": "zoo_api",
        "MIGRATION_DATABASE_PASSWORD": "zoo_migrator",
    }
    elsewhere = {
        "image": "postgres:18",
        "entrypoint": ["sh", "-c", START],
        "environment": {"POSTGRES_DB": "zoo", "POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": "x", **passwords},
        "volumes": [f"{given}:/given:ro", f"{ROOT}/deploy/postgres:/opt/zoo:ro"],
        "networks": ["default"],
        "healthcheck": {"test": ["CMD", "pg_isready", "--host=127.0.0.1", "--username=postgres"], "interval": "1s"},
    }
    override = tmp_path / "compose.yml"
    secrets = {"database_ca": {"file": str(own.path)}}
    override.write_text(json.dumps({"services": {"elsewhere": elsewhere}, "secrets": secrets}))
    files = (ROOT / "docker-compose.managed.yml", override)
    with stack.changed(*files, DATABASE_URL=url("zoo_api"), MIGRATION_DATABASE_URL=url("zoo_migrator")):
        stack.compose("up", "--detach", "--wait", "--remove-orphans")
        assert "db" not in stack.compose("ps", "--services").stdout.split()
        assert stack.get("/animals").status_code == 200
        ssl = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'zoo_api'"
        psql = ["psql", "-U", "postgres", "-d", "zoo", "-At", "-c", ssl]
        assert stack.exec("elsewhere", *psql).stdout == "t\n"
        # This needs the image's own authorities. tests/processes/test_tls.py has what else proves nothing.
        wrong = url("zoo_migrator", "sslrootcert=system")
        run = ["run", "--rm", "--no-TTY", "--no-deps", "--env", f"MIGRATION_DATABASE_URL={wrong}", "migrator"]
        done = stack.compose(*run, check=False)
        assert done.returncode == 4, done.stderr
        assert "certificate" in done.stderr
