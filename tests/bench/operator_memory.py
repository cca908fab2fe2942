"""Resident memory of the operator: idle, with finished runs and their pods, and at a relist.

    operator_memory.py OPERATOR [RUNS]

It is served by a small API server in this process, which knows as many SandboxRuns as asked for, all
ended, and a pod of each with full termination messages (4 KiB a step, 18 KB of JSON in all). Its watches are
silent until it ends them with "too old", at which the operator lists everything anew.
"""
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
DIGEST = "a" * 64
SANDBOX_IMAGE = "registry.example/sandbox@sha256:" + "b" * 64
OWN_FIELDS = [{"manager": "writer", "operation": "Update", "apiVersion": "v1",
               "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
               "fieldsV1": {f"f:field-{n}": {} for n in range(120)}}]
PAGE_BYTES = 32 * 1024
PODS, RUNS, POLICIES = "pods", "sandboxruns", "networkpolicies"


def name_of(number):
    return f"exercise-{number:05d}"


def uid_of(kind, number):
    return f"{kind:08x}-26a5-47f5-8b86-{number:012d}"


def make_run(number):
    condition = {"reason": "Completed", "message": "The run has ended. " + "All is well. " * 4,
                 "lastTransitionTime": "2026-01-01T00:02:31Z", "observedGeneration": 1}
    types = ("Succeeded", "EnvironmentVerified", "AssetsPlaced", "ResultsStored",
             "NetworkIsolated", "Suspended", "Reconciling", "Stalled")
    return {
        "apiVersion": "sandboxrun.dev/v1alpha1", "kind": "SandboxRun",
        "metadata": {"name": name_of(number), "namespace": "students", "uid": uid_of(1, number),
                     "resourceVersion": str(100 + number), "generation": 1,
                     "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": OWN_FIELDS},
        "spec": {
            "environment": {"image": "registry.example/tool@sha256:" + DIGEST},
            "command": ["/usr/bin/python3", "/assets/main.py", "--input", "/assets/data.csv"],
            "env": [{"name": f"VARIABLE_{n}", "value": "v" * 40} for n in range(10)]},
        "status": {
            "observedGeneration": 1,
            "conditions": [{"type": t, "status": "True" if t == "Succeeded" else "False",
                            **condition} for t in types],
            "run": {"exitCode": 0, "message": "m" * 500},
            "duration": "2m31s",
            "attempts": [{"podName": name_of(number) + "-4f1c9a02b7", "podUID": uid_of(2, number),
                          "nodeName": "node-1", "reason": "Completed", "exitCode": 0,
                          "startTime": "2026-01-01T00:00:10Z",
                          "finishTime": "2026-01-01T00:02:31Z"}]}}


def make_pod(number, recorded):
    pod = json.loads(recorded)
    meta = pod["metadata"]
    meta.update(name=name_of(number) + "-4f1c9a02b7", namespace="students",
                uid=uid_of(2, number), resourceVersion=str(100000 + number),
                managedFields=OWN_FIELDS,
                ownerReferences=[{"apiVersion": "sandboxrun.dev/v1alpha1", "kind": "SandboxRun",
                                  "name": name_of(number), "uid": uid_of(1, number),
                                  "controller": True, "blockOwnerDeletion": True}])
    status = pod["status"]
    for each in status.get("initContainerStatuses", []) + status["containerStatuses"]:
        each["state"] = {"terminated": {
            "exitCode": 0, "reason": "Completed", "message": "x" * 4096,
            "startedAt": "2026-01-01T00:00:10Z", "finishedAt": "2026-01-01T00:02:31Z"}}
    return pod


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects = {PODS: [], RUNS: [], POLICIES: []}
        self.lists = {PODS: 0, RUNS: 0, POLICIES: 0}
        self.version = 1000000
        self.too_old = threading.Event()  # ends the watches of pods and runs


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def chunk(self, data):
        self.wfile.write(b"%x\r\n" % len(data) + data + b"\r\n")

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        kind = url.path.rsplit("/", 1)[-1]
        if kind not in self.server.objects:
            return self.answer(404, {"kind": "Status", "code": 404, "reason": "NotFound"})
        if "sendInitialEvents" in query:
            return self.answer(422, {"kind": "Status", "code": 422, "reason": "Invalid"})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if "watch" in query:
            self.watch(kind)
        else:
            self.list(kind)
        self.chunk(b"")

    def watch(self, kind):
        while not self.server.too_old.wait(1):
            pass
        if kind != POLICIES:
            self.chunk(b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired",'
                       b'"message":"too old"}}\n')

    def list(self, kind):
        head = {"resourceVersion": str(self.server.version)}
        parts = [b'{"kind":"List","apiVersion":"v1","metadata":', json.dumps(head).encode(),
                 b',"items":[']
        separator = b""
        for item in self.server.objects[kind]:
            parts += [separator, item]
            separator = b","
            if sum(map(len, parts)) >= PAGE_BYTES:
                self.chunk(b"".join(parts))
                parts = []
        self.chunk(b"".join(parts) + b"]}")
        self.server.lists[kind] += 1

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(201, {"metadata": {"resourceVersion": "1"}})

    do_PATCH = do_POST


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    kib = {name: int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM", "RssAnon")}
    return {name: value / 1024 for name, value in kib.items()}


def report(what, now):
    print(f"{what:28} resident {now['VmRSS']:6.1f} MiB (anonymous {now['RssAnon']:6.1f}), "
          f"peak {now['VmHWM']:6.1f} MiB", flush=True)


def wait_for(condition):
    end = time.monotonic() + 120
    while not condition():
        if time.monotonic() > end:
            sys.exit("the operator did not get there within two minutes")
        time.sleep(0.05)


def measure(operator, runs, folder):
    server = Server()
    recorded = (HERE / "../unit/pods/completed.json").read_text()
    for number in range(runs):
        server.objects[RUNS].append(json.dumps(make_run(number)).encode())
        server.objects[PODS].append(json.dumps(make_pod(number, recorded)).encode())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = folder / "kubeconfig"
    address = f"http://127.0.0.1:{server.server_address[1]}"
    config.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))
    log = folder / "log"
    process = subprocess.Popen(
        [operator, "--kubeconfig", config, "--sandbox-image", SANDBOX_IMAGE,
         "--metrics-bind-address", "0", "--health-probe-bind-address", "0",
         "--network-isolation", "Assume"], stderr=log.open("wb"))
    try:
        wait_for(lambda: "caches are filled" in log.read_text())
        time.sleep(5)
        report(f"{runs} runs, after the start", memory(process.pid))
        for relist in (1, 2):
            before = server.lists[PODS]
            server.too_old.set()
            wait_for(lambda: server.lists[PODS] > before)
            server.too_old.clear()
            time.sleep(5)
            report(f"{runs} runs, after relist {relist}", memory(process.pid))
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
            ticks = sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
        print(f"{'':28} processor time in all {ticks / os.sysconf('SC_CLK_TCK'):.1f} s")
    finally:
        process.terminate()
        process.wait()
        server.shutdown()


def main():
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 10000
    for number in (0, runs):
        with tempfile.TemporaryDirectory() as folder:
            measure(sys.argv[1], number, pathlib.Path(folder))


main()
