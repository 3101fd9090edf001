#!/usr/bin/env bash
# Run the tests that drive the service with real OpenAI clients, in a virtual environment of their own.
#   usage: tests/openai/run.sh [pytest arguments...]
#   needs: Python 3.11 or newer; about a minute the first time, seconds afterwards
# PYTHON  the interpreter that makes the environment (default: python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=.venv-openai
requirements=tests/openai/requirements.txt

wanted=$(cat "$requirements" pyproject.toml | sha256sum)
if [[ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]]; then
  rm -rf "$venv"
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable . -r "$requirements" pytest hypothesis
  echo "$wanted" >"$venv/installed"
fi
exec "$venv/bin/python" -m pytest tests/openai -m openai "$@"
