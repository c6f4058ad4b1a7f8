#!/bin/sh
# Makes .venv with tapstack in it (editable, C core compiled in place):  scripts/setup.sh run|test
# Quick when nothing that matters has changed since the last time.
set -eu

profile=${1:-run}
case $profile in run | test) ;; *) echo "usage: $0 run|test" >&2; exit 2 ;; esac
cd "$(dirname -- "$0")/.."

extras='[compiled]'
[ "$profile" = test ] && extras='[compiled,sim,cluster,test]'
stamp=.venv/.set-up-$profile
python=.venv/bin/python

# What the environment is made from.  A moved folder needs a new one: its scripts name their path.
wanted=$(pwd; cat pyproject.toml setup.py scripts/bootstrap.sh native/*.c native/*.h native/*.py 2>/dev/null | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && "$python" -c '' 2>/dev/null; then
    exit 0
fi

scripts/bootstrap.sh "$profile" || echo "setup: not all packages could be installed; going on without them" >&2

if ! { "$python" -m pip --version && [ "$(cat .venv/.place)" = "$(pwd)" ]; } >/dev/null 2>&1; then
    base=$(scripts/find-python.sh)
    echo "setup: .venv from $base ($("$base" -V))"
    "$base" -m venv --clear .venv
    pwd >.venv/.place
fi
echo "setup: installing tapstack and what it needs, compiling the C core"
"$python" -m pip install --disable-pip-version-check --no-warn-script-location -e ".$extras"

# pip builds the C core as an optional extension; say so when it did not come about.
backend=$("$python" -c 'from stack.wire import accel; print(accel.backend)')
if [ "$backend" != c ]; then
    echo "setup: the C core could not be compiled (is a C compiler installed?);" \
        "tapstack runs with its Python form, many times slower" >&2
fi
printf '%s\n' "$wanted" >"$stamp"

# Under sudo the environment and the build products belong to who called.
if [ "$(id -u)" = 0 ] && [ -n "${SUDO_UID:-}" ]; then
    for path in .venv build tapstack.egg-info stack/wire/_wire*.so stack/device/_io*.so; do
        [ ! -e "$path" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$path"
    done
fi
