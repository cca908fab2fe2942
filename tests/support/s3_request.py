"""One signed request to an S3 server, for test set-up: a second, independent Signature V4.

    s3_request.py METHOD URL [BODY_FILE]

Keys are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Prints one line of JSON: status,
version (x-amz-version-id) and body; exits with 1 unless the status is 2xx.
"""

import datetime
import hashlib
import hmac
import http.client
import json
import os
import sys
import urllib.parse


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def headers_for(method, url, body):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    payload = hashlib.sha256(body).hexdigest()
    headers = {"host": url.netloc, "x-amz-content-sha256": payload, "x-amz-date": now}
    names = ";".join(sorted(headers))
    pairs = sorted(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
    query = "&".join("%s=%s" % (urllib.parse.quote(k, safe="-_.~"),
                                urllib.parse.quote(v, safe="-_.~")) for k, v in pairs)
    lines = ["%s:%s" % (name, headers[name]) for name in sorted(headers)]
    request = "\n".join([method, url.path, query, *lines, "", names, payload])
    scope = "/".join([now[:8], "us-east-1", "s3", "aws4_request"])
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope,
                      hashlib.sha256(request.encode()).hexdigest()])
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in scope.split("/"):
        key = sign(key, part)
    headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        os.environ["AWS_ACCESS_KEY_ID"], scope, names, sign(key, text).hex())
    return headers


def main():
    method, target = sys.argv[1:3]
    body = b""
    if len(sys.argv) > 3:
        with open(sys.argv[3], "rb") as file:
            body = file.read()
    url = urllib.parse.urlsplit(target)
    connection = http.client.HTTPConnection(url.netloc, timeout=20)
    path = url.path + ("?" + url.query if url.query else "")
    connection.request(method, path, body, headers_for(method, url, body))
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    print(json.dumps({"status": answer.status, "body": text,
                      "version": answer.getheader("x-amz-version-id", "")}))
    return 0 if 200 <= answer.status < 300 else 1


if __name__ == "__main__":
    sys.exit(main())
