#!/bin/bash
# Builds the programs that tests need and that no package offers, from pinned Go modules:
#   tests/tools/build.sh NAME...
# NAME is a folder beside this script that holds go.mod, go.sum and tools.go, whose one import is
# the command. The program lands in ${SANDBOXRUN_CACHE:-$HOME/.cache/sandboxrun}/tools/bin/NAME and
# is built again only when go.mod, go.sum or tools.go changed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${SANDBOXRUN_CACHE:-$HOME/.cache/sandboxrun}/tools
mkdir -p "$cache/bin" "$cache/keys"

build() {
  local name=$1 source=$here/$1
  if [[ ! $name =~ ^[a-z0-9-]+$ || ! -f $source/go.mod || ! -f $source/tools.go ]]; then
    echo "build.sh: no recipe $name: $source/go.mod and tools.go are needed" >&2
    return 1
  fi
  exec 9>"$cache/keys/$name.lock"
  flock 9
  local key package
  key=$(cat "$source/go.mod" "$source/go.sum" "$source/tools.go" | sha256sum | cut -d' ' -f1)
  if [[ -x $cache/bin/$name && $(cat "$cache/keys/$name" 2>/dev/null) == "$key" ]]; then
    echo "$name: up to date ($cache/bin/$name)"
    return 0
  fi
  package=$(sed -n 's/^import _ "\(.*\)"$/\1/p' "$source/tools.go")
  echo "$name: building $package (minutes, once)"
  # Two compilers at a time fit into a small machine's memory.
  (cd "$source" && CGO_ENABLED=0 nice go build -p 2 -mod=readonly -trimpath -ldflags '-s -w' \
    -o "$cache/bin/.$name.new" "$package")
  mv "$cache/bin/.$name.new" "$cache/bin/$name"
  echo "$key" >"$cache/keys/$name"
  echo "$name: built ($cache/bin/$name)"
}

if [[ $# -eq 0 ]]; then
  sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
for name in "$@"; do
  build "$name"
done
