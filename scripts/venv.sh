#!/usr/bin/env bash
# Makes a Python environment with the packages of a requirements file and prints the path of its interpreter.
#
#   python=$(scripts/venv.sh examples/ec2/requirements.txt)
#
# The environment is .venv/<folder of the file> in the repository (ignored by git). It is made once, and again
# when the file or the interpreter changes. Talk goes to stderr.
set -eu

requirements=${1:?usage: venv.sh REQUIREMENTS_FILE}
repo=$(cd "$(dirname "$0")/.." && pwd)
name=$(basename "$(cd "$(dirname "$requirements")" && pwd)")
venv=$repo/.venv/$name

if ! version=$(python3 -c 'import sys; print(sys.version)' 2>/dev/null); then
  echo "ERROR: there is no python3 here; install Python 3.10 or newer" >&2
  exit 1
fi
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  echo "ERROR: Python 3.10 or newer is needed, this is $version" >&2
  exit 1
fi

wanted="$version $(cksum <"$requirements")"
if [ "$(cat "$venv/installed" 2>/dev/null || true)" != "$wanted" ]; then
  echo "preparing .venv/$name (once)" >&2
  rm -rf "$venv"
  if ! python3 -m venv "$venv" >&2; then
    rm -rf "$venv"
    echo "ERROR: 'python3 -m venv' does not work here" >&2
    echo "ERROR: on Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
  fi
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" >&2
  printf '%s\n' "$wanted" >"$venv/installed"
fi
echo "$venv/bin/python"
