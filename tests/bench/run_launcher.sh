#!/usr/bin/env bash
# What the launcher adds to its runtime: `sandboxrun run` of /bin/true with a cached image against
# `runc run` of the bundle that it renders, and with a cached environment of 1 GB against none.
# Rounds are interleaved, so that a busy machine slows all of them; what counts are the medians.
#
#   tests/bench/run_launcher.sh [ROUNDS]     default: 100; needs root and `./dev setup`
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
programs=${SANDBOXRUN_BUILD:-$here/../../build/release}/bin
cache=${SANDBOXRUN_CACHE:-$HOME/.cache/sandboxrun}
image=$(sed -n 's/^LOCK_TINY_IMAGE=//p' "$cache/environments.lock")

work=$(mktemp -d /var/tmp/sandboxrun-bench-XXXXXX)
trap 'rm -rf "$work"' EXIT
chmod 0711 "$work"

manifest() {  # name, then more lines of spec
  printf 'apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: %s}\nspec:\n' "$1"
  printf '  command: [/bin/true]\n  environment:\n    image: %s\n' "$image"
  shift
  printf '%s\n' "$@"
}

# An environment of about 1 GB in 30,000 files.
mkdir "$work/tree"
python3 "$here/unpack_tree.py" "$work/tree" 30000 1000000000
tar -C "$work/tree" --sort=name --numeric-owner -cf - . | zstd -q -1 -o "$work/environment.tar.zst"
digest=sha256:$(sha256sum "$work/environment.tar.zst" | cut -d' ' -f1)

manifest plain >"$work/plain.yaml"
manifest large '    archive:' "      source: {file: {path: $work/environment.tar.zst}}" \
  "      digest: $digest" '      format: TarZstd' >"$work/large.yaml"

# The bundle as the launcher renders it, above a root file system with its mount points.
bundle=$work/bundle
mkdir -p "$bundle"/{rootfs,work}
layout=$cache/oci
layer=$(python3 - "$layout" "${image##*@sha256:}" <<'PYTHON'
import json, sys
with open(f"{sys.argv[1]}/blobs/sha256/{sys.argv[2]}") as file:
    print(*(layer["digest"][7:] for layer in json.load(file)["layers"]), sep="\n")
PYTHON
)
for each in $layer; do tar -C "$bundle/rootfs" -xf "$layout/blobs/sha256/$each"; done
cp "$programs/guard" "$bundle/guard"
"$programs/sandboxrun" render --oci -f "$work/plain.yaml" --images "$layout" --cache "$work/cache" |
  python3 -c '
import json, os, sys
bundle = sys.argv[1]
config = json.load(sys.stdin)
config["linux"]["cgroupsPath"] = "/sandboxrun-bench"
for mount in config["mounts"]:
    point = bundle + "/rootfs" + mount["destination"]
    if mount["source"] == "guard":
        os.makedirs(os.path.dirname(point), exist_ok=True)
        open(point, "w").close()
    else:
        os.makedirs(point, exist_ok=True)
with open(bundle + "/config.json", "w") as file:
    json.dump(config, file)
base = config["linux"]["uidMappings"][0]["hostID"]
for folder, _, files in os.walk(bundle):
    for name in [".", *files]:
        os.chown(os.path.join(folder, name), base, base, follow_symlinks=False)
' "$bundle"

python3 - "$programs/sandboxrun" "$work" "$layout" "${1:-100}" <<'PYTHON'
import os, statistics, subprocess, sys, time

program, work, layout, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
record = os.open(work + "/record", os.O_RDWR | os.O_CREAT)
os.dup2(record, 3)
os.set_inheritable(3, True)

def sandboxrun(name):
    return [program, "run", "-f", f"{work}/{name}.yaml", "--images", layout, "--quiet",
            "--cache", work + "/cache", "--state-dir", work + "/state"]

number = 0
def runc():
    global number
    number += 1
    return ["/usr/sbin/runc", "--root", work + "/runc", "run", "--preserve-fds", "1",
            "--bundle", work + "/bundle", f"bench-{number}"]

commands = {"runc run": runc, "sandboxrun run": lambda: sandboxrun("plain"),
            "sandboxrun run, 1 GB environment": lambda: sandboxrun("large")}
times = {name: [] for name in commands}
for turn in range(rounds + 1):
    for name, command in commands.items():
        begin = time.perf_counter()
        subprocess.run(command(), stdin=subprocess.DEVNULL, check=True, pass_fds=[3])
        if turn > 0:  # the first fills the caches
            times[name].append((time.perf_counter() - begin) * 1000)
median = {name: statistics.median(values) for name, values in times.items()}
for name, values in times.items():
    print(f"{name:34} p50 {median[name]:6.1f} ms   min {min(values):6.1f} ms")
plain = median["sandboxrun run"]
print(f"sandboxrun / runc                  {plain / median['runc run']:.2f}   (at most 1.30)")
more = median["sandboxrun run, 1 GB environment"] - plain
print(f"1 GB environment adds              {more:.1f} ms   (at most 20)")
PYTHON
