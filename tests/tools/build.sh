#!/bin/bash
# Builds the programs that tests need and that no package offers, from pinned Go modules:
#   tests/tools/build.sh NAME...
# NAME is a folder beside this script that holds go.mod, go.sum and tools.go, whose imports are the
# commands (one may be a main.go of the folder itself), and, where they are not built like all
# others, `options`: shell variables cgo, tags and ldflags. Each program lands in
# ${SANDBOXRUN_CACHE:-$HOME/.cache/sandboxrun}/tools/bin, under the last part of its path or the name
# that the import's comment gives, and is built again only when one of those files changed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${SANDBOXRUN_CACHE:-$HOME/.cache/sandboxrun}/tools
mkdir -p "$cache/bin" "$cache/keys"

# programs FILE: a line "package name" for each import of a tools.go.
programs() {
  local package name
  sed -nE 's!^(import)?[[:space:]]*_ "([^"]+)"( // (.*))?$!\2 \4!p' "$1" |
    while read -r package name; do
      printf '%s %s\n' "$package" "${name:-${package##*/}}"
    done
}

# is_built KEY_FILE KEY: whether every program of the arrays is there, from these very inputs.
is_built() {
  local name
  [[ $(cat "$1" 2>/dev/null) == "$2" ]] || return 1
  for name in "${names[@]}"; do
    [[ -x $cache/bin/$name ]] || return 1
  done
}

build() {
  local recipe=$1 source=$here/$1 key package name
  local cgo=0 tags='' ldflags=''
  local -a packages=() names=()
  if [[ ! $recipe =~ ^[a-z0-9-]+$ || ! -f $source/go.mod || ! -f $source/tools.go ]]; then
    echo "build.sh: no recipe $recipe: $source/go.mod and tools.go are needed" >&2
    return 1
  fi
  while read -r package name; do
    packages+=("$package")
    names+=("$name")
  done < <(programs "$source/tools.go")
  local -a inputs=("$source/go.mod" "$source/go.sum" "$source"/*.go)
  if [[ -f $source/options ]]; then
    inputs+=("$source/options")
    # shellcheck source=/dev/null
    . "$source/options"
  fi
  exec 9>"$cache/keys/$recipe.lock"
  flock 9
  key=$(cat "${inputs[@]}" | sha256sum | cut -d' ' -f1)
  if is_built "$cache/keys/$recipe" "$key"; then
    echo "$recipe: up to date"
    return 0
  fi
  echo "$recipe: building ${names[*]} (minutes, once)"
  for package in "${!packages[@]}"; do
    # Two compilers at a time fit into a small machine's memory.
    (cd "$source" && CGO_ENABLED=$cgo nice go build -p 2 -mod=readonly -trimpath -tags "$tags" \
      -ldflags "-s -w $ldflags" -o "$cache/bin/.${names[package]}.new" "${packages[package]}")
    mv "$cache/bin/.${names[package]}.new" "$cache/bin/${names[package]}"
  done
  echo "$key" >"$cache/keys/$recipe"
  echo "$recipe: built in $cache/bin"
}

if [[ $# -eq 0 ]]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
for name in "$@"; do
  build "$name"
done
