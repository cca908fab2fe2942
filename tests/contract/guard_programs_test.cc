// Programs that must go on working under the guard, with no network, under runc and runsc.
#include <gtest/gtest.h>

#include "tests/support/oci_container.h"

namespace sandboxrun::test {
namespace {

class GuardPrograms : public testing::TestWithParam<Runtime> {
 protected:
  /// Runs a program as the command of a sealed run.
  ProcessEnd run(std::vector<std::string> command) {
    command.insert(command.begin(), "--");
    Container container({.runtime = GetParam(), .guard_arguments = std::move(command)});
    return container.wait();
  }
  ProcessEnd python(const std::string& program) { return run({"/usr/bin/python3", "-c", program}); }
};

INSTANTIATE_TEST_SUITE_P(Runtimes, GuardPrograms, testing::Values(Runtime::Runc, Runtime::Runsc),
                         [](const auto& parameter) { return to_string(parameter.param); });

TEST_P(GuardPrograms, BashWithPipesJobsTrapsAndHereDocuments) {
  auto end = run({"/bin/bash", "-c",
                  "set -euo pipefail; trap 'echo trapped' USR1; kill -USR1 $$; "
                  "seq 1 100 | sort -rn | head -n 1 || true; (exit 3) & wait $! || echo code $?; "
                  "cat <<< text; diff <(echo a) <(echo a) && echo same; "
                  "sleep 60 & kill %1; kill 0 2>/dev/null"});
  EXPECT_EQ(end.out, "trapped\n100\ncode 3\ntext\nsame\n") << end.err;
  EXPECT_EQ(end.code, 143) << "kill 0 reaches the shell's own group";
}

TEST_P(GuardPrograms, PythonSubprocess) {
  auto end = python(
      "import subprocess, signal\n"
      "print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout, end='')\n"
      "p = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
      "p.send_signal(signal.SIGTERM); print(p.wait())\n");
  EXPECT_EQ(end.out, "child\n-15\n") << end.err;
}

TEST_P(GuardPrograms, PythonMultiprocessing) {
  auto end = python(
      "import multiprocessing as m\n"
      "def f(x): return x * x\n"
      "if __name__ == '__main__':\n"
      "  with m.Pool(3) as pool: print(sum(pool.map(f, range(100))))\n"
      "  q = m.Queue(); p = m.Process(target=q.put, args=('queued',)); p.start()\n"
      "  print(q.get()); p.join(); print(p.exitcode)\n"
      "  with m.Manager() as manager:\n"
      "    d = manager.dict(); d['k'] = 1; print(dict(d))\n"
      "  from multiprocessing import shared_memory\n"
      "  s = shared_memory.SharedMemory(create=True, size=16); s.buf[0] = 7; print(s.buf[0])\n"
      "  s.close(); s.unlink()\n");
  EXPECT_EQ(end.out, "328350\nqueued\n0\n{'k': 1}\n7\n") << end.err;
  EXPECT_EQ(end.code, 0);
}

TEST_P(GuardPrograms, PythonAsyncio) {
  auto end = python(
      "import asyncio, os, tempfile\n"
      "async def main():\n"
      "  p = await asyncio.create_subprocess_exec('echo', 'async', stdout=-1)\n"
      "  print((await p.communicate())[0].decode(), end='')\n"
      "  path = tempfile.mkdtemp() + '/s'\n"
      "  async def serve(r, w): w.write(await r.readline()); w.close()\n"
      "  server = await asyncio.start_unix_server(serve, path)\n"
      "  r, w = await asyncio.open_unix_connection(path)\n"
      "  w.write(b'line\\n'); print((await r.readline()).decode(), end='')\n"
      "  print(await asyncio.to_thread(os.cpu_count) > 0)\n"
      "asyncio.run(main())\n");
  EXPECT_EQ(end.out, "async\nline\nTrue\n") << end.err;
}

TEST_P(GuardPrograms, PythonAffinityAndThreads) {
  auto end = python(
      "import os, threading\n"
      "os.sched_setaffinity(0, os.sched_getaffinity(0)); os.nice(1)\n"
      "t = [threading.Thread(target=lambda: None) for _ in range(20)]\n"
      "[x.start() for x in t]; [x.join() for x in t]; print('done')\n");
  EXPECT_EQ(end.out, "done\n") << end.err;
}

TEST_P(GuardPrograms, GetaddrinfoAnswersFromFilesAndFailsInOrderForOtherNames) {
  auto end = python(
      "import socket\n"
      "print(sorted({a[4][0] for a in socket.getaddrinfo('127.0.0.1', 80)}))\n"
      "try: socket.getaddrinfo('example.com', 80)\n"
      "except socket.gaierror: print('gaierror')\n"
      "try: socket.socket()\n"
      "except PermissionError: print('PermissionError')\n");
  EXPECT_EQ(end.out, "['127.0.0.1']\ngaierror\nPermissionError\n") << end.err;
}

TEST_P(GuardPrograms, NodeChildProcessesWorkersAndTimers) {
  auto end =
      run({"/usr/bin/node", "-e",
           "const {spawn, execSync, fork} = require('child_process');"
           "const {Worker} = require('worker_threads');"
           "console.log(execSync('echo sync').toString().trim());"
           "const c = spawn('cat'); c.stdout.on('data', d => console.log(String(d)));"
           "c.on('exit', (code) => { console.log('exit', code);"
           "  const w = new Worker('require(\"worker_threads\").parentPort.postMessage(6*7)',"
           "                       {eval: true});"
           "  w.on('message', m => { console.log(m);"
           "    setTimeout(() => process.exit(3), 10); }); });"
           "c.stdin.end('spawned');"});
  EXPECT_EQ(end.out, "sync\nspawned\nexit 0\n42\n") << end.err;
  EXPECT_EQ(end.code, 3);
}

TEST_P(GuardPrograms, TheJvm) {
  auto end = run({"/bin/sh", "-c",
                  "printf 'public class Hello { public static void main(String[] a) throws "
                  "Exception { "
                  "System.out.println(java.util.stream.IntStream.range(0, 1000).parallel().sum()); "
                  "System.out.println(new String(new ProcessBuilder(\"echo\", \"child\").start()."
                  "getInputStream().readAllBytes()).trim()); System.exit(4); } }' > "
                  "/tmp/Hello.java; exec java -Xmx256m /tmp/Hello.java"});
  EXPECT_EQ(end.out, "499500\nchild\n") << end.err;
  EXPECT_EQ(end.code, 4);
}

TEST_P(GuardPrograms, Go) {
  auto end = run({"/test/go_probe"});
  EXPECT_EQ(end.out,
            "sum 140\nchild\n<nil>\nkilled <nil> <nil> signal: killed\nhello <nil>\ntcp true\n")
      << end.err;
  EXPECT_EQ(end.code, 0);
}

TEST_P(GuardPrograms, TheDebugger) {
  auto end = run({"/usr/bin/gdb", "-nx", "-batch", "-ex", "break answer", "-ex", "run", "-ex",
                  "print question", "-ex", "continue", "/test/crash"});
  EXPECT_NE(end.out.find("$1 = 7"), std::string::npos) << end.out << end.err;
  EXPECT_NE(end.out.find("answer 42"), std::string::npos) << end.out << end.err;
}

TEST(GuardProgramsRunc, TheLeakSanitizer) {
  Container container({.guard_arguments = {"--", "/test/leak"}});
  auto end = container.wait();
  EXPECT_EQ(end.code, 1) << end.err;
  EXPECT_NE(end.err.find("detected memory leaks"), std::string::npos) << end.err;
}

TEST_P(GuardPrograms, WhatTheReferenceSaysCannotWorkFailsWithAnError) {
  auto end = python(
      "import socketserver, subprocess\n"
      "try: socketserver.TCPServer(('127.0.0.1', 0), None)\n"
      "except PermissionError: print('no loopback server')\n"
      "r = subprocess.run(['node', '-e', 'require(\"os\").networkInterfaces()'],"
      " capture_output=True, text=True)\n"
      "print(r.returncode != 0 and 'uv_interface_addresses' in r.stderr)\n");
  EXPECT_EQ(end.out, "no loopback server\nTrue\n") << end.err;
}

}  // namespace
}  // namespace sandboxrun::test
