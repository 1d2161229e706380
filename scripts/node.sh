#!/usr/bin/env bash
# Installs the npm packages of a folder's package.json and prints the folder they are in.
#
#   modules=$(scripts/node.sh tests/clients)
#
# They go to .node/<folder> in the repository (ignored by git), once, and again when package.json or Node changes.
# Without Node it says so and exits with 3, so that a caller can tell "not here" from "went wrong".
# Talk goes to stderr.
set -eu

folder=$(cd "${1:?usage: node.sh FOLDER_WITH_PACKAGE_JSON}" && pwd)
repo=$(cd "$(dirname "$0")/.." && pwd)
name=$(basename "$folder")
target=$repo/.node/$name

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "ERROR: node or npm is not installed here" >&2
  exit 3
fi

wanted="$(node --version) $(cksum <"$folder/package.json")"
if [ "$(cat "$target/installed" 2>/dev/null || true)" != "$wanted" ]; then
  echo "preparing .node/$name (once)" >&2
  rm -rf "$target"
  mkdir -p "$target"
  cp "$folder/package.json" "$target/"
  npm install --prefix "$target" --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error >&2
  printf '%s\n' "$wanted" >"$target/installed"
fi
echo "$target"
