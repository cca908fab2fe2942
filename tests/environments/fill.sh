#!/usr/bin/env bash
# fill.sh CACHE MANIFEST: prints the manifest with each ${LOCK_...} replaced by its value in
# CACHE/environments.lock, where build.sh wrote what this machine's environments are.
# Other ${...} are the manifest's own and stay.
set -euo pipefail
[[ $# -eq 2 ]] || { echo "usage: fill.sh CACHE MANIFEST" >&2; exit 2; }
lock=$1/environments.lock
manifest=$2
[[ -f $lock ]] || { echo "fill.sh: there is no $lock; ./dev setup makes it" >&2; exit 1; }

text=$(<"$manifest")
while IFS='=' read -r name value; do
  text=${text//"\${$name}"/"$value"}
done <"$lock"
if [[ $text =~ \$\{LOCK_[A-Za-z0-9_]*\} ]]; then
  known=$(sed 's/=.*//' "$lock" | paste -sd' ')
  echo "$manifest: ${BASH_REMATCH[0]} is not in $lock, which has $known" >&2
  exit 1
fi
printf '%s\n' "$text"
