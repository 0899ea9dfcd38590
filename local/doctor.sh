#!/bin/sh
# `make doctor`: says what this machine and this checkout lack, and below each line how to mend it. It needs nothing but
# a shell and the usual commands, and changes nothing. Exit code: 0 if nothing is missing, otherwise 1.
set -u
cd "$(dirname "$0")/.."
eval "$(tr -d '\r' <local/python.sh)" # its line ends may be what is wrong

faults=0
fault() { faults=$((faults + 1)) && printf '%s\n    %s\n' "$1" "$2"; }
at_least() { awk -v got="$1" -v least="$2" 'BEGIN {
    split(got, g, "."); split(least, l, "."); exit !(g[1] + 0 > l[1] || (g[1] + 0 == l[1] && g[2] + 0 >= l[2] + 0))}'; }
first_line() { printf '%s\n' "$1" | sed '/^[[:space:]]*$/d' | head -n 1; }
names() { tr '\n' ' ' | sed 's/ $//'; }

# The value of a setting: the environment's, or that of .env, or the default.
setting() {
    value=$(printenv "$1")
    [ -n "$value" ] || [ ! -r .env ] ||
        value=$(sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" .env | tail -n 1 | sed 's/[[:space:]]#.*//' | tr -d "\"'\r ")
    printf '%s\n' "${value:-$2}"
}

check_python() {
    if python=$(find_python 2>&1); then
        { "$python" -c 'import venv, pip' || "$python" -c 'import venv, ensurepip'; } >/dev/null 2>&1 ||
            fault "$python has no venv or no pip" "apt-get install python3-venv"
    else
        fault "${python#error: }" "apt-get install python3 python3-venv"
    fi
    if [ -e .venv ] || [ -L .venv ]; then
        made_as=$(sed -n 's/^command = .* -m venv [^/]*//p' .venv/pyvenv.cfg 2>/dev/null)
        if ! fits .venv/bin/python; then
            fault "the Python of .venv is gone or does not fit" "rm -rf .venv && make install"
        elif [ -n "$made_as" ] && [ "$made_as" != "$(cd -P .venv && pwd)" ]; then
            fault ".venv was made as $made_as, and its commands use that folder" "rm -rf .venv && make install"
        fi
    fi
    [ "$(id -u)" != 0 ] || command -v setpriv >/dev/null ||
        fault "root needs setpriv, because Postgres refuses to run as root" "apt-get install util-linux"
}

check_files() {
    crlf=$(find Makefile Dockerfile docker-compose*.yml pyproject.toml alembic_online api deploy local migrator \
        requirements seed stack_settings -type f ! -name '*.pyc' -exec grep -l "$(printf '\r')\$" {} + 2>/dev/null | names)
    [ -z "$crlf" ] || fault "lines end in CRLF, with which scripts don't run: $(printf %.150s "$crlf")" \
        "git ls-files -z | xargs -0 perl -pi -e 's/\\r\$//'"
    plain=$(find local deploy -name '*.sh' ! -perm -u+x -exec grep -l '^#!' {} + | names)
    [ -z "$plain" ] || fault "not executable: $plain" "chmod +x $plain"
    closed=$(find secrets -type f ! -perm -o+r ! -user 10001 2>/dev/null | names)
    [ -z "$closed" ] || fault "user 10001, as which the containers run, can't read $closed" \
        "chmod o+rx secrets && chmod o+r $closed"
    owner=$(id -u) && [ "$owner" != 0 ] || owner=65534
    foreign=$(find .data/postgres -prune ! -user "$owner" 2>/dev/null; [ ! -e .venv ] || [ -w .venv/ ] || echo .venv)
    [ -z "$foreign" ] || fault "owned by another user: $(echo "$foreign" | names)" "run make as that user, or: sudo make clean"
}

check_env() {
    [ -e .env ] || return
    ! grep -q "$(printf '\r')\$" .env || fault "lines of .env end in CRLF" "perl -pi -e 's/\\r\$//' .env"
    wrong=$(tr -d '\r' <.env |
        grep -nvE '^[[:space:]]*(#.*|(export[[:space:]]+)?[A-Za-z_][A-Za-z0-9_]*[[:space:]]*[=:].*)?$' |
        cut -d: -f1 | names)
    [ -z "$wrong" ] || fault ".env has lines that are no NAME=VALUE: $wrong" "correct them, see .env.example"
    unknown=$(tr -d '\r' <.env | sed -nE 's/^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)[[:space:]]*=.*/\2/p' |
        while read -r name; do
            grep -qE "^#? ?$name=" .env.example || case $name in COMPOSE_* | DOCKER_*) ;; *) echo "$name" ;; esac
        done | names)
    [ -z "$unknown" ] || fault ".env sets what is no setting: $unknown" "correct the names, see .env.example"
}

# Who listens at a port of 127.0.0.1 or of all addresses: a process or a container; nothing if nobody does.
listener() {
    if [ -r /proc/net/tcp ]; then
        inode=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$(printf %04X "$1")" \
            '$4 == "0A" && $2 ~ "^(0+|(0+FFFF0000)?0100007F):" port "$" {print $10; exit}')
        [ -n "$inode" ] || return
        pid=$(ls -l /proc/[0-9]*/fd 2>/dev/null | awk -v socket="socket:[$inode]" \
            '/^\/proc/ {split($1, path, "/")} $NF == socket {print path[3]; exit}')
        [ -z "$pid" ] || who="process $pid, $(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c 1-60 | sed 's/ *$//')"
    else
        who=$(lsof -nP -iTCP:"$1" -sTCP:LISTEN -Fpc 2>/dev/null | sed -n 's/^p/process /p; s/^c/, /p' | head -n 2 | tr -d '\n')
        [ -n "$who" ] || return
    fi
    container=$(docker ps --filter "publish=$1" --format 'the container {{.Names}}' 2>/dev/null)
    echo "${container:-${who:-a process of another user}}"
}

check_port() { # a port, and how to choose another
    case $1 in *[!0-9]* | '') return ;; esac # Compose says what is wrong with it
    who=
    ! holder=$(listener "$1") || [ -z "$holder" ] || fault "port $1 is in use by $holder" \
        "end that, or choose another port: $2"
}

# A volume on which the first start of `db` did not get as far as its roles.
check_volume() {
    project=$(docker compose config 2>/dev/null | sed -n 's/^name: //p')
    volume=$(docker volume ls --quiet --filter "label=com.docker.compose.project=$project" \
        --filter label=com.docker.compose.volume=db)
    image=$(docker compose config --images db 2>/dev/null)
    [ -n "$volume" ] && docker image inspect "$image" >/dev/null 2>&1 || return
    docker run --rm --network none --volume "$volume:/volume:ro" --entrypoint sh "$image" -c '
        cd /volume/*/docker 2>/dev/null && [ -e PG_VERSION ] || exit 0
        for role in zoo_api zoo_migrator; do grep -rqa "$role" global pg_wal || exit 9; done' >/dev/null 2>&1
    [ $? = 9 ] || return
    roles="docker compose exec db bash /docker-entrypoint-initdb.d/10-roles.sh"
    fault "the volume $volume has no roles: its first start was interrupted, or could not read 10-roles.sh" \
        "docker compose up --detach --wait db; $roles (or, without its data: docker compose down --volumes)"
}

check_docker() {
    command -v docker >/dev/null || {
        fault "Docker is not installed, and only \`make run\` needs none" "https://docs.docker.com/engine/install/"
        return
    }
    compose=$(docker compose version --short 2>/dev/null | sed 's/^v//')
    [ -n "$compose" ] || fault "Docker has no Compose" "apt-get install docker-compose-plugin, or docker-compose on Debian"
    [ -z "$compose" ] || at_least "$compose" 2.24 || fault "Compose is $compose, and 2.24 is needed" \
        "upgrade it: https://docs.docker.com/compose/install/"
    docker buildx version >/dev/null 2>&1 || fault "Docker has no Buildx" \
        "apt-get install docker-buildx-plugin, or docker-buildx on Debian"
    if [ -n "$compose" ]; then
        said=$(docker compose config --quiet 2>&1)
        [ -z "$said" ] || fault "Compose says: $(first_line "$said")" \
            "correct .env; a \$ is written \$\$, or the value in single quotes"
    fi
    case $(docker --version) in
    *podman*) engine=$(docker info --format '25' 2>&1) ;; # it has versions of its own
    *) engine=$(docker version --format '{{.Server.Version}}' 2>&1) ;;
    esac || {
        case $engine in
        *"permission denied"*) fault "Docker's engine does not let you in" "sudo usermod -aG docker $(id -un), and log in anew" ;;
        *) fault "Docker's engine does not answer: $(first_line "$engine")" "sudo systemctl start docker, or start Docker Desktop" ;;
        esac
        return
    }
    at_least "$engine" 25 || fault "Docker's engine is $engine, and 25 is needed (start_interval)" \
        "upgrade it: https://docs.docker.com/engine/install/"
    check_room "$(docker info --format '{{.DockerRootDir}}' 2>/dev/null)" "docker system prune"
    memory=$(docker info --format '{{.MemTotal}}' 2>/dev/null)
    [ "${memory:-0}" -ge 2400000000 ] || [ "${memory:-0}" = 0 ] ||
        fault "Docker has $((memory / 1048576)) MB of memory, and the stack may take 2300" \
            "give it more: in Docker Desktop, Settings, Resources"
    [ -z "$compose" ] || check_volume
}

check_room() { # of a folder: the images and what tests install take 2 GB
    free=$(df -Pk "$1" 2>/dev/null | awk 'NR == 2 {print int($4 / 1024)}')
    [ "${free:-2000}" -ge 2000 ] || fault "$free MB are free on the disk of $1, and 2000 are needed" "$2"
}

check_memory() {
    free=$(awk '$1 == "MemAvailable:" {print int($2 / 1024)}' /proc/meminfo 2>/dev/null)
    [ "${free:-1000}" -ge 1000 ] || fault "$free MB of memory are free, and 1000 are needed" "end other programs"
}

check_python
check_files
check_env
port=$(setting API_PORT 8000) storage=$(setting STORAGE_PORT 8333)
check_port "$port" "make run PORT=$((${port:-0} + 1)), or API_PORT=$((${port:-0} + 1)) make up"
check_port "$storage" "STORAGE_PORT in .env"
check_room "$PWD" "remove what is not needed, or move the checkout to another disk"
check_memory
check_docker
[ "$faults" = 0 ] && echo "nothing is missing"
