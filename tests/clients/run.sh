#!/usr/bin/env bash
# Run the tests that drive the service with real clients and gateways. Those that get along are a family, a folder
# beside this file: its requirements.txt and package.json are installed into an environment of its own.
#   usage: tests/clients/run.sh [family...]      (default: all of them; ARGS are arguments of pytest)
#   needs: Python 3.11 or newer; Node 20 or newer for families with a package.json
# PYTHON  the interpreter that makes the environments (default: python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ $# = 0 ]]; then
  set -- $(cd tests/clients && for file in */requirements.txt; do dirname "$file"; done)
fi
status=0
for family in "$@"; do
  folder=tests/clients/$family
  venv=.venv-clients-$family
  wanted=$({ cat "$folder"/requirements.txt "$folder"/package.json pyproject.toml 2>/dev/null || true; } | sha256sum)
  if [[ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]]; then
    rm -rf "$venv"
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable . -r "$folder/requirements.txt" pytest hypothesis
    if [[ -f $folder/package.json ]] && ! command -v npm >/dev/null; then
      echo "There is no npm here: the tests of $family that need it are skipped." >&2
    elif [[ -f $folder/package.json ]]; then
      cp "$folder/package.json" "$venv/"
      npm install --prefix "$venv" --silent --no-audit --no-fund --ignore-scripts
    fi
    echo "$wanted" >"$venv/installed"
  fi
  CLIENTS_FAMILY=$family CLIENTS_FOLDER=$PWD/$venv "$venv/bin/python" -m pytest "$folder" -m clients ${ARGS:-} || status=$?
done
exit $status
