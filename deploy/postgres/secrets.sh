# To be sourced, by the scripts beside it. stack_settings/secret.py does the same; a test compares them.

# read_secret NAME: export NAME as the file in NAME_FILE has it, if that is set, without a byte order mark, and without
# blanks and line ends before and after.
read_secret() {
    eval "secret=\${$1:-} file=\${$1_FILE:-}"
    [ -n "$file" ] || return 0
    if [ -n "$secret" ]; then
        echo "$1 and $1_FILE are both set: set one of them" >&2
        exit 3
    fi
    secret=$(cat "$file") || exit 3
    secret=${secret#"$(printf '\357\273\277')"}
    secret=${secret#"${secret%%[![:space:]]*}"}
    secret=${secret%"${secret##*[![:space:]]}"}
    eval "export $1=\$secret; unset $1_FILE"
}

# weakness: print why the secret in standard input can be guessed, as the end of a sentence; nothing if it can't.
weakness() {
    LC_ALL=C awk -f "${SCRIPTS:?}/weakness.awk"
}
