#!/usr/bin/env bash
# Verify and unpack about 1 GB in 30,000 files (tar.zst) on tmpfs: ours against what a script would
# do with sha256sum or openssl and GNU tar. Rounds are interleaved, so that a busy machine slows all
# three; what counts are the ratios of the medians.
#
#   tests/bench/run_unpack.sh [PROGRAM] [ROUNDS]     default: build/release/bin/agent_unpack_bench 7
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
program=${1:-$here/../../build/release/bin/agent_unpack_bench}
rounds=${2:-7}
files=${FILES:-30000}
bytes=${BYTES:-1000000000}

work=$(mktemp -d /dev/shm/sandboxrun-unpack-XXXXXX)
trap 'rm -rf "$work"' EXIT

mkdir "$work/tree"
python3 "$here/unpack_tree.py" "$work/tree" "$files" "$bytes"
tar -C "$work/tree" --sort=name --numeric-owner -cf - . | zstd -q -3 -o "$work/a.tar.zst"
rm -rf "$work/tree"
digest=sha256:$(sha256sum "$work/a.tar.zst" | cut -d' ' -f1)
printf '%s files, %s bytes, archive of %s bytes\n' "$files" "$bytes" "$(stat -c %s "$work/a.tar.zst")"

timed() {  # name command: runs it in a fresh folder and keeps its seconds
  local name=$1 begin end
  shift
  mkdir "$work/out"
  begin=$(date +%s%N)
  "$@"
  end=$(date +%s%N)
  echo $(((end - begin) / 1000000)) >>"$work/$name.ms"
  rm -rf "$work/out"
}
ours() { "$program" "$work/a.tar.zst" "$work/out" "$digest" >>"$work/ours.lines"; }
coreutils() { sha256sum "$work/a.tar.zst" >/dev/null && tar --zstd -xf "$work/a.tar.zst" -C "$work/out"; }
openssl_tar() {
  openssl dgst -sha256 "$work/a.tar.zst" >/dev/null && tar --zstd -xf "$work/a.tar.zst" -C "$work/out"
}

for ((round = 0; round < rounds; ++round)); do
  timed ours ours
  timed coreutils coreutils
  timed openssl openssl_tar
done

median() { sort -n "$1" | sed -n "$(((rounds + 1) / 2))p"; }
a=$(median "$work/ours.ms") b=$(median "$work/coreutils.ms") c=$(median "$work/openssl.ms")
peak=$(awk '{ if ($3 > m) m = $3; if ($4 > m) m = $4 } END { printf "%.1f", m / 1024 }' "$work/ours.lines")
awk -v a="$a" -v b="$b" -v c="$c" -v peak="$peak" 'BEGIN {
  printf "ours                          %5d ms   peak resident %s MiB\n", a, peak
  printf "sha256sum && tar --zstd       %5d ms   %.2f times as long (goal: 1.7)\n", b, b / a
  printf "openssl dgst && tar --zstd    %5d ms   %.2f times as long (goal: 1.25)\n", c, c / a
}'
