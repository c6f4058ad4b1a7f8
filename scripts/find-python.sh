#!/bin/sh
# Prints a Python >= 3.11 that can make virtual environments; fails when there is none.
# $PYTHON goes first.  Under sudo it must be one that the invoking user can run too: .venv is theirs.
set -u

usable() {
    if [ "$(id -u)" = 0 ] && [ -n "${SUDO_UID:-}" ]; then
        set -- setpriv --reuid "$SUDO_UID" --regid "${SUDO_GID:-$SUDO_UID}" --clear-groups "$@"
    fi
    "$@" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

for name in ${PYTHON:-} python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11 \
    "${HOME:-/root}"/.pyenv/versions/*/bin/python3 /root/.pyenv/versions/*/bin/python3 /usr/local/bin/python3; do
    path=$(command -v "$name" 2>/dev/null) || continue
    if usable "$path"; then
        # The real interpreter, not a version manager's shim, which depends on the environment.
        "$path" -c 'import sys; print(sys.executable)'
        exit 0
    fi
done
echo "no Python 3.11 or later with the venv module found; on Debian: apt-get install python3 python3-venv" >&2
exit 1
