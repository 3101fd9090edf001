#!/usr/bin/env bash
# Run the tests on a real Ray, in a virtual environment of its own.
#   usage: tests/ray/run.sh [pytest arguments..., with what is to be run]
#   needs: Python 3.11 or newer, 700 MB of disk; three minutes the first time, two when installed
# Ray listens on all interfaces. As root the tests run in a network of their own, which has nothing but a loopback.
# PYTHON  the interpreter for that environment (default: python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=.venv-ray
python=${PYTHON:-python3}
wanted=$(cat tests/ray/requirements.txt pyproject.toml)

if [ "$wanted" != "$(cat "$venv/installed" 2>/dev/null)" ]; then
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/ray/requirements.txt --editable '.[data,ray]'
  printf '%s\n' "$wanted" >"$venv/installed"
fi
export OMP_NUM_THREADS=1
run=("$venv/bin/python" -m pytest -m ray "${@:-tests/ray}")
if [ "$(id -u)" = 0 ] && unshare --net true 2>/dev/null; then
  exec unshare --net bash -c 'ip link set lo up && exec "$@"' run "${run[@]}"
fi
exec "${run[@]}"
