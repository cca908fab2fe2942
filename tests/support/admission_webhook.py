"""A mutating admission webhook that applies one JSON patch to whatever it is asked about.

    admission_webhook.py --address IP --cert PEM --key PEM --patch JSON

Prints "ready PORT" and serves until its standard input ends. It answers AdmissionReviews of
admission.k8s.io/v1.
"""

import argparse
import base64
import http.server
import json
import os
import ssl
import sys
import threading


def make_handler(patch):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "response": {"uid": review["request"]["uid"], "allowed": True,
                             "patchType": "JSONPatch", "patch": patch}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    return Handler


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--patch", required=True)
    options = parser.parse_args()
    patch = base64.b64encode(options.patch.encode()).decode()
    server = http.server.ThreadingHTTPServer((options.address, 0), make_handler(patch))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("ready %d" % server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
