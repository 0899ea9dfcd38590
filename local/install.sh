#!/bin/sh
# local/install.sh GROUP: installs what requirements/GROUP.txt locks into .venv.
#
# uv does it in seconds, and comes from its own locked wheel; if that can't be installed, pip does it alone.
set -eu
cd "$(dirname "$0")/.."
requirements=requirements/$1.txt
python=.venv/bin/python

. local/python.sh

# pip, for .venv: this machine's own, which saves a second, or else a new one.
pip() {
    if ! $python -m pip --version >/dev/null 2>&1; then
        base=$(find_python)
        if "$base" -m pip --python $python --version >/dev/null 2>&1; then
            "$base" -m pip --python $python --disable-pip-version-check "$@"
            return
        fi
        $python -m ensurepip >/dev/null 2>&1 || {
            echo "error: $base has no pip: install it (apt-get install python3-venv)" >&2 && return 1
        }
    fi
    $python -m pip --disable-pip-version-check "$@"
}

fits $python || {
    base=$(find_python)
    "$base" -m venv --clear --without-pip .venv
}
if [ ! -x .venv/bin/uv ]; then
    echo "installing requirements/uv.txt into .venv" >&2
    pip install --quiet --require-hashes --only-binary :all: -r requirements/uv.txt ||
        echo "uv can't be installed: pip does it, and takes longer" >&2
fi
echo "installing $requirements into .venv" >&2
if [ -x .venv/bin/uv ]; then
    .venv/bin/uv pip install --python $python --require-hashes --compile-bytecode -r "$requirements" && exit
    echo "uv failed: pip does it, and takes longer" >&2
fi
pip install --require-hashes -r "$requirements"
