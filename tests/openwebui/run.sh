#!/usr/bin/env bash
# Run the tests that drive a real Open WebUI, headless and offline, in a virtual environment of their own.
#   usage: tests/openwebui/run.sh [pytest arguments...]
#   needs: Python 3.11 or 3.12, 3 GB of disk, 2 GB of memory; about 5 minutes the first time, 2 afterwards
# PYTHON          the interpreter that makes the environment (default: python3)
# TORCH_PIP_ARGS  extra pip options for the torch step, where a plain `pip install torch` gives a build for CUDA
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=.venv-openwebui
requirements=tests/openwebui/requirements.txt
pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }

wanted=$(cat "$requirements" pyproject.toml | sha256sum)
if [[ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]]; then
  [[ -x "$venv/bin/python" ]] || "${PYTHON:-python3}" -m venv "$venv"
  # torch by itself and first, so that Open WebUI does not bring the CUDA packages along, 3 GB more.
  # shellcheck disable=SC2086
  pip install ${TORCH_PIP_ARGS:-} "$(grep ^torch== "$requirements")"
  "$venv/bin/python" -c 'import torch; assert torch.version.cuda is None, "a CUDA build of torch: set TORCH_PIP_ARGS"'
  pip install --editable . -r "$requirements" pytest hypothesis
  echo "$wanted" >"$venv/installed"
fi
exec "$venv/bin/python" -m pytest tests/openwebui -m openwebui "$@"
