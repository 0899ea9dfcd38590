# Finds the Python that .venv is made of; read by local/install.sh and local/doctor.sh.

# The locked packages have wheels for these versions.
fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }

# The first Python that fits, of all names that one may have.
find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if fits "$name"; then echo "$name" && return; fi
    done
    found=$(python3 --version 2>&1) || found=none
    echo "error: this needs Python 3.11 to 3.14, but finds $found: install one, from python.org or as python3.13" >&2
    return 1
}
