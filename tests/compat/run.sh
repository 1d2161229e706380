#!/usr/bin/env bash
# Checks the verdicts of cases.json against jsoncompat. Needs Python 3.10 or newer.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../../scripts/venv.sh" "$here/requirements.txt")
PYTHONDONTWRITEBYTECODE=1 exec "$python" "$here/oracle.py"
