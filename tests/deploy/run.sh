#!/usr/bin/env bash
# Run the tests of images, compose files, units, alerts, dashboard and traces, in a virtual environment of their own.
#   usage: tests/deploy/run.sh [pytest arguments...]
#   needs: Python 3.11 or newer, systemd-analyze; about two minutes the first time, one afterwards
#   promtool and prometheus are taken from the path, or from Debian's package, unpacked into .tools
# PYTHON  the interpreter that makes the environment (default: python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=.venv-deploy
requirements=tests/deploy/requirements.txt
tools=.tools/prometheus

wanted=$(cat "$requirements" pyproject.toml | sha256sum)
if [[ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]]; then
  rm -rf "$venv"
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[otel]' -r "$requirements"
  echo "$wanted" >"$venv/installed"
fi
if ! command -v promtool >/dev/null && [[ ! -x "$tools/usr/bin/promtool" ]]; then
  mkdir -p "$tools"
  # The lists of a fresh machine are empty; without root those that are there must do.
  [[ "$(id -u)" != 0 ]] || apt-get update -qq >/dev/null 2>&1 || true
  (cd "$tools" && apt-get -o APT::Sandbox::User=root download -qq prometheus >/dev/null && dpkg-deb -x prometheus_*.deb .) ||
    { echo "promtool and prometheus could not be had from Debian; put them on the path" >&2; exit 1; }
  rm -f "$tools"/prometheus_*.deb
fi
if ! command -v systemd-analyze >/dev/null && [[ "$(id -u)" == 0 ]]; then
  apt-get install -qq -y --no-install-recommends systemd >/dev/null
fi
export PATH="$PWD/$tools/usr/bin:$PATH"
exec "$venv/bin/python" -m pytest tests/deploy -n 2 --dist loadfile -m deploy "$@"
