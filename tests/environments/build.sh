#!/usr/bin/env bash
# Makes whatever is missing of the environments that examples and tests run in:
#   tests/environments/build.sh CACHE
#     CACHE/oci                 an OCI layout with the images sandbox-base and sandbox-tiny
#     CACHE/archives            the Python environment as an archive
#     CACHE/data                the data of the examples
#     CACHE/environments.lock   their references and digests, one KEY=VALUE a line; ./dev run fills
#                               a manifest's ${KEY} from it
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ $# -eq 1 && $1 == /* ]] || { say "usage: build.sh CACHE (an absolute path)"; exit 2; }
cache=$1
mkdir -p "$cache/tmp"
exec 9>"$cache/environments.flock"
flock 9

# What a build that was killed left behind; the lock says that none is at work.
rm -rf --one-file-system -- "$cache"/tmp/build.*
for script in sandbox-tiny data python-env sandbox-base; do
  "$environments_dir/$script.sh" "$cache" 9>&-
done
chmod -R a+rX "$cache/oci"
cat "$cache"/lock.d/* >"$cache/environments.lock.new"
mv "$cache/environments.lock.new" "$cache/environments.lock"
