"""A web server that misbehaves as told, for the tests of transfers.

    https_server.py --script FILE --log FILE [--cert PEM --key PEM] [--address 127.0.0.1]

Prints "ready PORT" and serves until its standard input ends. Without a certificate it speaks plain
HTTP. The script is JSON: {"/path": [step, ...]}; the n-th request to a path gets the n-th step, and
the last step again after that. What a step may say (all optional):

    status, headers ([[name, value], ...]), body (text), size (that many bytes) or
    file       a path, whose content is sent
    length     Content-Length to claim instead of the true one; null: none at all
    chunked    send the body in chunks
    send       cut the connection after so many bytes of the body
    drip       [bytes, seconds]: send the body in pieces with pauses between
    delay      seconds to wait before the answer
    keep       a path, to which the request's body is written
    early      answer without reading the request's body
    hang_up    close the connection instead of answering
    raw        exactly these characters (Latin-1) instead of an answer

{port} in a header's value becomes the server's port. Each request is logged as one line of JSON.
"""

import argparse
import collections
import hashlib
import json
import os
import socket
import ssl
import sys
import threading
import time

BLOCK = 1 << 16


def content(step):
    if "file" not in step:
        return step.get("body", "").encode()
    with open(step["file"], "rb") as file:
        return file.read()


class Connection:
    def __init__(self, server, sock):
        self.server = server
        self.sock = sock
        self.rest = b""

    def read_head(self):
        while b"\r\n\r\n" not in self.rest:
            data = self.sock.recv(BLOCK)
            if not data:
                return None
            self.rest += data
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = [line.split(":", 1) for line in lines[1:]]
        return method, target, [[n.lower(), v.strip()] for n, v in headers]

    def read_body(self, length, path):
        digest, left = hashlib.sha256(), length
        with open(path, "wb") as kept:
            while left > 0:
                data = self.rest[:left] or self.sock.recv(min(left, BLOCK))
                if not data:
                    break
                self.rest = self.rest[len(data):]
                digest.update(data)
                kept.write(data)
                left -= len(data)
        return digest.hexdigest(), length - left

    def serve(self):
        request = self.read_head()
        if request is None:
            return
        method, target, headers = request
        step = self.server.next_step(target.split("?")[0])
        length = 0 if step.get("early") else int(dict(headers).get("content-length", "0"))
        sha256, received = self.read_body(length, step.get("keep", os.devnull))
        self.server.write_log({"method": method, "target": target, "headers": headers,
                               "sha256": sha256, "bytes": received})
        time.sleep(step.get("delay", 0))
        if not step.get("hang_up"):
            self.answer(step)

    def answer(self, step):
        if "raw" in step:
            self.sock.sendall(step["raw"].encode("latin-1"))
            return
        size = step["size"] if "size" in step else len(content(step))
        lines = ["HTTP/1.1 %d Scripted" % step.get("status", 200)]
        for name, value in step.get("headers", []):
            lines.append("%s: %s" % (name, value.replace("{port}", str(self.server.port))))
        length = step.get("length", size)
        if step.get("chunked"):
            lines.append("Transfer-Encoding: chunked")
        elif length is not None and step.get("status", 200) != 204:
            lines.append("Content-Length: %s" % length)
        lines.append("Connection: close")
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        self.send_body(step, size)

    def send_body(self, step, size):
        limit = min(size, step.get("send", size))
        piece, pause = step.get("drip", [BLOCK, 0])
        text = b"" if "size" in step else content(step)
        sent = 0
        while sent < limit:
            n = min(piece, limit - sent)
            data = b"x" * n if "size" in step else text[sent:sent + n]
            if step.get("chunked"):
                data = b"%x\r\n%s\r\n" % (n, data)
            self.sock.sendall(data)
            sent += n
            if pause:
                time.sleep(pause)
        if step.get("chunked") and limit == size:
            self.sock.sendall(b"0\r\n\r\n")


class Server:
    def __init__(self, options):
        with open(options.script, encoding="utf-8") as file:
            self.script = json.load(file)
        self.log = open(options.log, "a", encoding="utf-8")
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.context = None
        if options.cert:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(options.cert, options.key)
        family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
        self.listener = socket.create_server((options.address, 0), family=family, backlog=64)
        self.port = self.listener.getsockname()[1]

    def next_step(self, path):
        with self.lock:
            steps = self.script.get(path)
            if not steps:
                return {"status": 404}
            number = min(self.counts[path], len(steps) - 1)
            self.counts[path] += 1
            return steps[number]

    def write_log(self, entry):
        with self.lock:
            self.log.write(json.dumps(entry) + "\n")
            self.log.flush()

    def handle(self, sock):
        try:
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            with sock:
                Connection(self, sock).serve()
                if self.context:
                    sock.unwrap()
        except (OSError, ValueError):
            pass  # clients hang up and send nonsense; that is what the tests do

    def run(self):
        print("ready %d" % self.port, flush=True)
        threading.Thread(target=self.accept, daemon=True).start()
        sys.stdin.read()
        os._exit(0)

    def accept(self):
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self.handle, args=(sock,), daemon=True).start()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--script", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--address", default="127.0.0.1")
    Server(parser.parse_args()).run()


if __name__ == "__main__":
    main()
