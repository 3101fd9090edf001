#!/usr/bin/env bash
# Build both images with buildah and run them with podman. No registry is asked: the base image is made of Debian's packages.
#   usage: tests/image/run.sh [pytest arguments...]
#   needs: root on Debian or Ubuntu; three minutes the first time, half a minute afterwards, 2 GB below .tools/image
# Where that is not to be had, the tests are skipped and say why.
# PYTHON  the interpreter with what the tests need (default: .venv/bin/python)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

missing=()
for program in buildah podman runc debootstrap; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1 || true
fi
exec "${PYTHON:-.venv/bin/python}" -m pytest tests/image -m image -rs "$@"
