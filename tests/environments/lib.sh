# shellcheck shell=bash
# Shared by the scripts of this folder; sourced, never run.
# Every script is called as `script CACHE` and leaves its product below CACHE under a name that
# carries the hash of what it was made from, so that a second call finds it and does nothing.

environments_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Files carry this time whatever day they are made on (2023-06-10, the release of Debian 12).
export SOURCE_DATE_EPOCH=1686355200
debian_python=/usr/bin/python3.11

say() { printf 'environments: %s\n' "$*" >&2; }

# input_key FILE...: sixteen hex digits that change when any of the files of this folder does.
input_key() { (cd "$environments_dir" && sha256sum -- lib.sh "$@" | sha256sum | cut -c1-16); }

# check_sha256 FILE HEX: the file has this digest, or the build ends here.
check_sha256() {
  local found
  found=$(sha256sum -- "$1" | cut -d' ' -f1)
  if [[ $found != "$2" ]]; then
    say "$1: expected sha256:$2, found sha256:$found"
    return 1
  fi
}

# lock_set CACHE NAME KEY=VALUE...: the lines that NAME adds to the lock file, replaced whole.
lock_set() {
  local cache=$1 name=$2
  shift 2
  mkdir -p "$cache/lock.d"
  printf '%s\n' "$@" >"$cache/lock.d/.$name.new"
  mv "$cache/lock.d/.$name.new" "$cache/lock.d/$name"
}

# is_current CACHE NAME KEY PRODUCT: the file PRODUCT is there, and NAME was made from these inputs.
is_current() { [[ -e $4 && -f $1/lock.d/$2 && -f $1/stamps/$2 && $(<"$1/stamps/$2") == "$3" ]]; }
# mark_current CACHE NAME KEY: says so, as the last step of making NAME.
mark_current() { mkdir -p "$1/stamps" && printf '%s' "$3" >"$1/stamps/$2"; }

# make_workspace CACHE: a scratch folder on the cache's own file system, removed when the script ends.
make_workspace() {
  mkdir -p "$1/tmp"
  workspace=$(mktemp -d "$1/tmp/build.XXXXXX")
  trap 'rm -rf --one-file-system -- "$workspace"' EXIT
}

# install_wheels TARGET: the wheels of requirements.txt, each checked against its hash, without tests.
install_wheels() {
  "$debian_python" -m pip install --quiet --no-input --no-deps --no-compile --require-hashes \
    --only-binary :all: --implementation cp --python-version 3.11 \
    --abi cp311 --abi abi3 --abi none \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
    --target "$1" -r "$environments_dir/requirements.txt" --root-user-action ignore
  find "$1" -depth -type d \( -name tests -o -name test -o -name __pycache__ \) -exec rm -rf {} +
  rm -rf "${1:?}/bin" "$1/share" "$1"/numpy/_core/include "$1"/matplotlib/mpl-data/sample_data
  find "$1" -name '*.pyi' -delete
}

# add_image CACHE NAME LAYER.tar CONFIG...: an image of one layer, tagged NAME in the OCI layout
# CACHE/oci; CONFIG are options of `umoci config`. Prints the digest of its manifest.
add_image() {
  local cache=$1 name=$2 layer=$3 layout=$1/oci when
  shift 3
  when=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
  [[ -f $layout/index.json ]] || umoci init --layout "$layout" >&2
  # A reader finds the earlier image under the name until the new one is whole.
  umoci rm --image "$layout:$name.new" 2>/dev/null || true
  umoci new --image "$layout:$name.new" >&2
  umoci raw add-layer --image "$layout:$name.new" --history.created "$when" "$layer" >&2
  umoci config --image "$layout:$name.new" --no-history --created "$when" --os linux \
    --architecture amd64 "$@" >&2
  umoci tag --image "$layout:$name.new" "$name" >&2
  umoci rm --image "$layout:$name.new" >&2
  umoci gc --layout "$layout" >&2
  "$debian_python" - "$layout/index.json" "$name" <<'PY'
import json, sys
index, name = json.load(open(sys.argv[1])), sys.argv[2]
print(next(m["digest"] for m in index["manifests"]
           if m.get("annotations", {}).get("org.opencontainers.image.ref.name") == name))
PY
}
