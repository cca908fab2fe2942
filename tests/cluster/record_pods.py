#!/usr/bin/env python3
"""Makes pods end in every way that a kubelet knows and keeps what it wrote about them.

    tests/cluster/record_pods.py FOLDER [NAME...]

FOLDER/NAME.json is the pod as `kubectl get pod -o json` shows it, for each case below (or the named
ones). Needs KUBECONFIG of the cluster that `./dev cluster up` started, kubectl and crane in PATH,
and busybox-static. The containers have the names and the order of a run's pod; their programs are
shell scripts that end as the case wants.
"""

import concurrent.futures
import copy
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time

NAMESPACE = "recorded"
FINALIZER = "sandboxrun.dev/recorded"
TRAP = "trap 'echo report >/dev/termination-log; exit 0' TERM; while :; do sleep 0.1; done"
WAIT_SECONDS = 150


def kubectl(*arguments, given=None, check=True):
    done = subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def push_image():
    """Busybox as an image in the cluster's registry; its reference by digest."""
    registry = (pathlib.Path(os.environ["KUBECONFIG"]).parent / "registry").read_text().strip()
    with tempfile.TemporaryDirectory() as folder:
        layer = folder + "/layer.tar"
        with tarfile.open(layer, "w") as tar:
            tar.add("/bin/busybox", "bin/busybox")
            for name in ("sh", "sleep", "tail", "cat", "dd", "true"):
                link = tarfile.TarInfo("bin/" + name)
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        # The base that crane makes up has no platform, which means any.
        done = subprocess.run(
            ["crane", "append", "--new_layer", layer, "--new_tag", registry + "/busybox:recorded"],
            check=True, capture_output=True, text=True)
    return done.stdout.strip()


def container(name, image, script, **more):
    return {
        "name": name,
        "image": image,
        "command": ["/bin/sh", "-c", script],
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]}},
        "resources": {
            "requests": {"cpu": "1m", "memory": "16Mi", "ephemeral-storage": "1Mi"},
            "limits": {"cpu": "1", "memory": "64Mi", "ephemeral-storage": "4Mi"}},
        **more,
    }


def pod(name, image, run="exit 0", prepare="true", collect=TRAP, **more):
    spec = {
        "restartPolicy": "Never",
        "hostUsers": False,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "terminationGracePeriodSeconds": 10,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 64000, "runAsGroup": 64000,
                            "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [container("prepare", image, prepare),
                           container("collect", image, collect, restartPolicy="Always")],
        "containers": [container("run", image, run)],
        **more,
    }
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "finalizers": [FINALIZER]},
            "spec": spec}


def get(name):
    return json.loads(kubectl("get", "pod", name, "-n", NAMESPACE, "-o", "json"))


def state(status, container_name):
    for each in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
        if each["name"] == container_name:
            return each
    return {}


def wait_for(name, reached):
    """The pod once `reached(pod)` is true."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        found = get(name)
        if reached(found):
            return found
        time.sleep(0.3)
    raise RuntimeError(f"{name}: still {json.dumps(found['status'])}")


def ended(found):
    return found["status"].get("phase") in ("Succeeded", "Failed")


def running(found):
    return "running" in state(found["status"], "run").get("state", {})


def waits(container_name, *reasons):
    def reached(found):
        waiting = state(found["status"], container_name).get("state", {}).get("waiting", {})
        return waiting.get("reason") in reasons
    return reached


def until(reached):
    return lambda name: wait_for(name, reached)


def after(seconds):
    """Whatever the pod is after a while: what never comes can only be waited out."""
    def follow(name):
        time.sleep(seconds)
        return get(name)
    return follow


def while_running(act):
    """Waits until the run container runs, acts, and waits for the pod's end."""
    def follow(name):
        wait_for(name, running)
        act(name)
        return wait_for(name, ended)
    return follow


def delete(name):
    kubectl("delete", "pod", name, "-n", NAMESPACE, "--wait=false")


def evict(name):
    kubectl("create", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction", "-f", "-",
            given=json.dumps({"apiVersion": "policy/v1", "kind": "Eviction",
                              "metadata": {"name": name, "namespace": NAMESPACE}}))


def kill_sandbox(name):
    """Kills the pod's pause program: the one whose cgroup carries the pod's UID."""
    uid = get(name)["metadata"]["uid"]
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes() == b"/pause\0" and uid in (
                    process / "cgroup").read_text():
                os.kill(int(process.name), 9)
        except OSError:
            continue


def patch_image(name):
    other = get(name)["spec"]["containers"][0]["image"].split("@")[0] + ":recorded"
    kubectl("patch", "pod", name, "-n", NAMESPACE, "--type=strategic", "-p",
            json.dumps({"spec": {"containers": [{"name": "run", "image": other}]}}))


POLITE = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
NO_DIGEST = "@sha256:" + "0" * 64


def volume(mount, **source):
    """Changes a pod: the run container mounts such a volume."""
    def change(given):
        given["spec"]["volumes"] = [{"name": "v", **source}]
        given["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": mount}]
    return change


def run_field(**fields):
    return lambda given: given["spec"]["containers"][0].update(fields)


def collector_field(**fields):
    return lambda given: given["spec"]["initContainers"][1].update(fields)


# name: (arguments of pod(), a change to the pod or None, what follows it to its end and gives it)
CASES = {
    "succeeded": ({}, None, until(ended)),
    "exit-3": ({"run": "echo three >/dev/termination-log; exit 3"}, None, until(ended)),
    "prepare-failed": ({"prepare": "echo why >/dev/termination-log; exit 1"}, None, until(ended)),
    "deadline-while-preparing": (
        {"prepare": "trap 'echo stopped >/dev/termination-log; exit 1' TERM;"
                    " while :; do sleep 0.1; done", "activeDeadlineSeconds": 4}, None, until(ended)),
    "deadline-while-running": (
        {"run": "trap 'exit 5' TERM; while :; do sleep 0.1; done", "activeDeadlineSeconds": 8},
        None, until(ended)),
    "deadline-while-collecting": (
        {"run": "sleep 2", "collect": "trap 'sleep 8; echo report >/dev/termination-log; exit 0'"
         " TERM; while :; do sleep 0.1; done", "activeDeadlineSeconds": 8,
         "terminationGracePeriodSeconds": 30}, None, until(ended)),
    "run-ignores-term": (
        {"run": "trap '' TERM; while :; do sleep 0.1; done", "activeDeadlineSeconds": 6,
         "terminationGracePeriodSeconds": 3}, None, until(ended)),
    "oom-killed": ({"run": "exec tail /dev/zero"}, None, until(ended)),
    "oom-killed-child": ({"run": "tail /dev/zero; exit 0"}, None, until(ended)),
    "deleted-and-exits-0": ({"run": POLITE}, None, while_running(delete)),
    "evicted-by-api-and-exits-0": ({"run": POLITE}, None, while_running(evict)),
    "evicted-for-disk": (
        {"run": "dd if=/dev/zero of=/data/x bs=1M count=40; while :; do sleep 0.1; done"},
        volume("/data", emptyDir={"sizeLimit": "32Mi"}), until(ended)),
    "collector-exits-7-at-once": ({"run": "sleep 6", "collect": "exit 7"}, None, until(ended)),
    "collector-exits-9": (
        {"collect": "trap 'exit 9' TERM; while :; do sleep 0.1; done"}, None, until(ended)),
    "collector-out-of-time": (
        {"collect": "trap '' TERM; while :; do sleep 0.1; done",
         "terminationGracePeriodSeconds": 2}, None, until(ended)),
    "no-such-program": ({}, run_field(command=["/no/such/program"]), until(ended)),
    "argument-too-long": ({}, run_field(command=["/bin/true", "x" * 140000]), until(ended)),
    "rejected-by-kubelet": (
        {"nodeName": "sandboxrun"},
        run_field(resources={"requests": {"cpu": "900"}, "limits": {"cpu": "900"}}), until(ended)),
    "image-patched": ({"run": POLITE}, None, while_running(
        lambda name: (patch_image(name), wait_for(name, lambda found: state(
            found["status"], "run").get("restartCount", 0) > 0), delete(name)))),
    "sandbox-killed": ({"run": "sleep 1000"}, None, while_running(kill_sandbox)),
    "image-missing": ({}, lambda given: given["spec"]["containers"][0].update(
        image=given["spec"]["containers"][0]["image"].split("@")[0] + NO_DIGEST),
        until(waits("run", "ImagePullBackOff"))),
    "image-volume-missing": (
        {}, lambda given: volume("/guard", image={
            "reference": given["spec"]["containers"][0]["image"].split("@")[0] + NO_DIGEST})(given),
        until(waits("run", "ImagePullBackOff"))),
    "secret-volume-missing": (
        {}, volume("/secret", secret={"secretName": "none"}), after(10)),
    "secret-key-missing": (
        {}, run_field(env=[{"name": "A", "valueFrom": {
            "secretKeyRef": {"name": "none", "key": "k"}}}]),
        until(waits("run", "CreateContainerConfigError"))),
    "runtime-handler-missing": ({"runtimeClassName": "recorded-none"}, None, after(10)),
    "sidecar-never-started": (
        {}, collector_field(startupProbe={"exec": {"command": ["/bin/sh", "-c", "exit 1"]},
                                          "failureThreshold": 100}), after(10)),
    "unschedulable": ({"nodeSelector": {"no": "node"}}, None, after(5)),
    "gated": ({"schedulingGates": [{"name": "sandboxrun.dev/admission"}]}, None, after(2)),
    "running": ({"run": "sleep 1000"}, None, until(running)),
}


def record(name, image, folder):
    arguments, change, follow = CASES[name]
    made = pod(name, image, **copy.deepcopy(arguments))
    if change:
        change(made)
    kubectl("create", "-f", "-", given=json.dumps(made))
    found = follow(name)
    found["metadata"]["finalizers"] = [
        each for each in found["metadata"]["finalizers"] if each != FINALIZER]
    text = json.dumps(found, indent=1, sort_keys=True)
    (folder / (name + ".json")).write_text(text.replace("x" * 140000, "x" * 100) + "\n")


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    names = sys.argv[2:] or list(CASES)
    image = push_image()
    kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "none",
         "metadata": {"name": "recorded-none"}}]}))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running_cases = {pool.submit(record, name, image, folder): name for name in names}
        for done in concurrent.futures.as_completed(running_cases):
            error = done.exception()
            print(running_cases[done], "recorded" if error is None else f"FAILED: {error}",
                  flush=True)
            failed += error is not None
    for name in names:
        kubectl("patch", "pod", name, "-n", NAMESPACE, "--type=merge", "-p",
                '{"metadata":{"finalizers":null}}', check=False)
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    kubectl("delete", "runtimeclass", "recorded-none")
    return failed


if __name__ == "__main__":
    sys.exit(main())
