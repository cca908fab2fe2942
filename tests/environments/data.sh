#!/usr/bin/env bash
# The data of the examples: files of a PyPI package, which lists their sources and licences.
# Their digests stand in the example manifests themselves.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cache=$1
key=$(input_key data.sh data.txt)
is_current "$cache" data "$key" "$cache/data/seattle-weather.csv" && exit 0

say "data from PyPI's vega_datasets"
make_workspace "$cache"
"$debian_python" -m pip download --quiet --no-input --no-deps --require-hashes --only-binary :all: \
  --dest "$workspace" -r "$environments_dir/data.txt"
mkdir -p "$cache/data"
"$debian_python" - "$workspace"/vega_datasets-*.whl seattle-weather.csv "$workspace/data" <<'PY'
import pathlib, sys, zipfile
wheel, name, out = sys.argv[1:]
pathlib.Path(out).write_bytes(zipfile.ZipFile(wheel).read(f"vega_datasets/_data/{name}"))
PY
check_sha256 "$workspace/data" 62f0609f787158128aa2bd102967173a4953122dd4f872bf1d502cae1037df0b
mv "$workspace/data" "$cache/data/seattle-weather.csv"
chmod 0644 "$cache/data/seattle-weather.csv"
lock_set "$cache" data "LOCK_DATA=$cache/data"
mark_current "$cache" data "$key"
