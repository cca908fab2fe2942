#!/bin/sh
# Puts the root of an image together: programs of build/bin and what they need to run, nothing else.
#   cmake/image_root.sh ROOT FOLDER PROGRAM[=NAME]|LIBRARY...
# Each PROGRAM lands in ROOT/FOLDER (under NAME), mode 0555 (one that may be executed but not read
# cannot be started in a user namespace), its shared libraries where its loader looks for them. A
# LIBRARY, as libcurl.so.4, is one that a program opens only when it needs it.
set -eu
root=$1 folder=$1$2
shift 2

# libraries_of FILE: what its loader would open, one path a line.
libraries_of() {
  # A static program has no libraries, and ldd says so by failing.
  ldd "$1" 2>/dev/null | sed -nE 's!^[^/]*(/[^ ]+) \(0x[0-9a-f]+\)$!\1!p'
}

install_library() { install -D -m 0755 "$(readlink -f "$1")" "$root$1"; }

install -d -m 0755 "$folder" "$root/etc"
for each in "$@"; do
  case $each in
    lib*.so.*)
      file=$(ldconfig -p | sed -n "s!^.*$each .*x86-64.* => !!p" | head -n 1)
      [ -n "$file" ] || { echo "image_root.sh: there is no library $each" >&2; exit 1; }
      install_library "$file"
      ;;
    *)
      file=build/bin/${each%%=*}
      install --strip -m 0555 "$file" "$folder/${each##*=}"
      ;;
  esac
  libraries_of "$file" | while read -r library; do install_library "$library"; done
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
