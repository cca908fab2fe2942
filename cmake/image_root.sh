#!/bin/sh
# Puts the root of an image together: programs of build/bin and what they need to run, nothing else.
#   cmake/image_root.sh ROOT FOLDER PROGRAM[=NAME]...
# Each PROGRAM lands in ROOT/FOLDER (under NAME), mode 0555 (one that may be executed but not read
# cannot be started in a user namespace), its shared libraries where its loader looks for them.
set -eu
root=$1 folder=$1$2
shift 2

install -d -m 0755 "$folder" "$root/etc"
for program in "$@"; do
  built=build/bin/${program%%=*}
  install --strip -m 0555 "$built" "$folder/${program##*=}"
  # A static program has no libraries, and ldd says so by failing.
  ldd "$built" 2>/dev/null | sed -nE 's!^[^/]*(/[^ ]+) \(0x[0-9a-f]+\)$!\1!p' |
    while read -r library; do
      install -D -m 0755 "$(readlink -f "$library")" "$root$library"
    done
done

# Names for our ids, for programs that ask; files and DNS without a service to ask first.
cat >"$root/etc/passwd" <<'TEXT'
root:x:0:0:root:/:/nonexistent
run:x:64000:64000:the run, and collect:/:/nonexistent
prepare:x:64001:64001:prepare:/:/nonexistent
operator:x:65532:65532:the operator:/:/nonexistent
TEXT
sed 's/^\([^:]*:x:\)\([0-9]*\):.*/\1\2:/' "$root/etc/passwd" >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
