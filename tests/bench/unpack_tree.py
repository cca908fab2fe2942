#!/usr/bin/env python3
"""Writes the tree that the unpack benchmark archives: FILES files, together BYTES bytes, the same
on every machine, about three times compressible.

Usage: unpack_tree.py FOLDER FILES BYTES
"""

import os
import random
import sys


def main() -> None:
    folder, files, total = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(20240229)
    # Text as programs and libraries are made of: words that come again, and bytes that don't.
    words = [bytes(chance.choices(range(97, 123), k=chance.randint(3, 11))) + b" "
             for _ in range(4096)]
    noise = chance.randbytes(8 << 20)
    text = b"".join(chance.choices(words, k=1 << 20))
    sizes = [chance.lognormvariate(9.0, 1.4) for _ in range(files)]
    scale = total / sum(sizes)
    for number, size in enumerate(sizes):
        where = os.path.join(folder, f"lib{number % 40:02}", f"package{number // 40 % 30:02}")
        os.makedirs(where, exist_ok=True)
        left = int(size * scale)
        parts = []
        while left > 0:
            take = min(left, chance.randint(256, 4096))
            source = noise if chance.random() < 0.13 else text
            begin = chance.randrange(len(source) - take)
            parts.append(source[begin:begin + take])
            left -= take
        with open(os.path.join(where, f"module{number:05}.dat"), "wb") as out:
            out.write(b"".join(parts))


if __name__ == "__main__":
    main()
