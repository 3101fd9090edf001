#!/usr/bin/env bash
# Run the tests that drive the real LiteLLM proxy, which gets a virtual environment of its own.
#   usage: tests/litellm/run.sh [pytest arguments...]
#   needs: Python 3.11 or newer, 750 MB of disk; two minutes the first time, one when installed
# PYTHON  the interpreter with the project's test requirements (default: python3); LiteLLM gets its version
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=.venv-litellm
requirements=tests/litellm/requirements.txt
python=${PYTHON:-python3}

if ! cmp -s "$requirements" "$venv/installed"; then
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
  cp "$requirements" "$venv/installed"
fi
exec "$python" -m pytest tests/litellm -m litellm "$@"
