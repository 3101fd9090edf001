#!/usr/bin/env bash
# Run the tests of the rewards in the real TRL, verl and OpenRLHF, in a virtual environment of their own.
#   usage: tests/rewards/run.sh [pytest arguments...]
#   needs: Python 3.11 or newer, 2 GB of disk; three minutes the first time, half a minute when installed
# PYTHON  the interpreter for that environment (default: python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=.venv-rewards
python=${PYTHON:-python3}
wanted=$(cat tests/rewards/requirements.txt tests/rewards/without-dependencies.txt pyproject.toml)

if [ "$wanted" != "$(cat "$venv/installed" 2>/dev/null)" ]; then
  "$python" -m venv "$venv"
  install="$venv/bin/python -m pip install --quiet --disable-pip-version-check"
  $install -r tests/rewards/requirements.txt --editable '.[rewards]'
  $install --no-deps -r tests/rewards/without-dependencies.txt
  printf '%s\n' "$wanted" >"$venv/installed"
fi
export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
exec "$venv/bin/python" -m pytest tests/rewards -m rewards "$@"
