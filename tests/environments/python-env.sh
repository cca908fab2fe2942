#!/usr/bin/env bash
# python-env: Debian's CPython 3.11 with NumPy and matplotlib as an archive that works where it is
# unpacked: /env, the place where a run finds its environment. The image brings only the C library.
# Same inputs, same bytes: sorted names, one time and owner, a fixed number of compressor threads.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cache=$1
key=$(input_key python-env.sh activate.sh requirements.txt)
archive=$cache/archives/python-$key.tar.zst
is_current "$cache" python-env "$key" "$archive" && exit 0

say "python-env from Debian's python3.11 and wheels of PyPI"
make_workspace "$cache"
root=$workspace/env
library=$root/lib/python3.11
mkdir -p "$root/bin" "$root/lib" "$cache/archives"
install -m 0755 "$debian_python" "$root/bin/python3.11"
ln -s python3.11 "$root/bin/python3"
ln -s python3.11 "$root/bin/python"
install -m 0644 "$environments_dir/activate.sh" "$root/activate.sh"

# The standard library, with Debian's links into /etc made plain files.
cp -rL /usr/lib/python3.11 "$library" 2>/dev/null || cp -r /usr/lib/python3.11 "$library"
rm -rf "$library"/{test,idlelib,turtledemo,tkinter,ensurepip,lib2to3,pydoc_data,dist-packages,config-*,EXTERNALLY-MANAGED}
find "$library" -depth -type d \( -name __pycache__ -o -name tests -o -name test \) -exec rm -rf {} +
find "$library" -xtype l -delete
install_wheels "$library/dist-packages"

# What the extension modules need besides the C library goes along.
find "$library/lib-dynload" "$root/bin/python3.11" -type f -print0 | xargs -0 ldd 2>/dev/null |
  awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
  grep -vE '/(libc|libm|libdl|libpthread|librt|libutil|libresolv|libnsl|ld-linux[^/]*)\.so' |
  xargs -I{} install -m 0644 {} "$root/lib/"
find /usr/lib/x86_64-linux-gnu -maxdepth 1 \( -name 'libstdc++.so.6' -o -name 'libgcc_s.so.1' \) \
  -exec install -m 0644 {} "$root/lib/" \;
"$debian_python" -m compileall -q -j 2 --invalidation-mode unchecked-hash \
  -s "$root" -p /env "$library" >/dev/null || true

tar --create --directory "$root" --sort=name --format=gnu --hard-dereference \
  --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
  --file - activate.sh bin lib | zstd --quiet -12 -T2 -o "$workspace/env.tar.zst"
digest=$(sha256sum "$workspace/env.tar.zst" | cut -d' ' -f1)
chmod 0644 "$workspace/env.tar.zst"
mv "$workspace/env.tar.zst" "$archive"
find "$cache/archives" -name 'python-*.tar.zst' ! -path "$archive" -delete
lock_set "$cache" python-env "LOCK_PYTHON_ARCHIVE=$archive" "LOCK_PYTHON_DIGEST=sha256:$digest"
mark_current "$cache" python-env "$key"
say "python-env is $archive, sha256:$digest"
