// The agent's program: `prepare` runs before the sandboxed command, `collect` after it. Both read a
// work order from a file and leave a report in the termination log. `probe` serves the operator's
// own question whether network policies are enforced.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <thread>

#include "operator/base/fd.h"
#include "sandbox-image/agent/agent.h"
#include "sandbox-image/agent/probe.h"

namespace sandboxrun::agent {
namespace {

constexpr const char* kUsage =
    "usage: agent prepare --order FILE [--staging DIR] [--report FILE] [--install-guard DIR]\n"
    "       agent collect --order FILE [--staging DIR] [--report FILE]\n"
    "       agent probe --connect ADDRESS:PORT [--report FILE]\n"
    "\n"
    "prepare  verifies, unpacks and places what the work order names, then exits.\n"
    "collect  waits for SIGTERM, then archives, hashes and uploads the results.\n"
    "probe    tries for ten seconds whether an address answers, and reports what it found.\n"
    "\n"
    "--order FILE    the work order (JSON)\n"
    "--staging DIR   a private folder for files in transfer (default /staging)\n"
    "--report FILE   where the report goes (default /dev/termination-log)\n"
    "--install-guard DIR   first copies the guard, which lies beside this program, there\n"
    "\n"
    "Exit status: 0 done, 1 failed (the report says why), 2 wrong arguments.\n";

struct Arguments {
  std::string verb;
  std::string order;
  std::string staging = "/staging";
  std::string report = "/dev/termination-log";
  std::string connect;
  std::string guard_folder;  // empty: the guard gets to the run another way
};

std::optional<Arguments> parse(int argc, char** argv) {
  if (argc < 2) return std::nullopt;
  Arguments arguments{.verb = argv[1]};
  const std::map<std::string_view, std::string*> flags = {
      {"--order", &arguments.order},
      {"--staging", &arguments.staging},
      {"--report", &arguments.report},
      {"--connect", &arguments.connect},
      {"--install-guard", &arguments.guard_folder}};
  for (int i = 2; i < argc; i += 2) {
    const auto flag = flags.find(argv[i]);
    if (flag == flags.end() || i + 1 == argc) return std::nullopt;
    *flag->second = argv[i + 1];
  }
  const bool probes = arguments.verb == "probe";
  const bool known = probes || arguments.verb == "prepare" || arguments.verb == "collect";
  if (!known || arguments.order.empty() != probes) return std::nullopt;
  if (arguments.connect.empty() == probes) return std::nullopt;
  return arguments;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The kubelet reads this file when the container ends.
void write_report(const std::string& path, const std::string& report) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd || write(fd.get(), report.data(), report.size()) != static_cast<ssize_t>(report.size())) {
    std::fputs("agent: the report could not be written\n", stderr);
  }
}

template <typename Report>
int finish(const Report& report, const std::string& path) {
  write_report(path, protocol::encode(report));
  if (!report.failure) return 0;
  const protocol::ReportFailure& failure = *report.failure;
  const std::string index = failure.index < 0 ? "" : " " + std::to_string(failure.index);
  std::fprintf(stderr, "agent: %s%s: %s\n",
               std::string(protocol::to_string(failure.subject)).c_str(), index.c_str(),
               failure.message.c_str());
  return 1;
}

template <typename Report>
Report unreadable(const Error& error) {
  Report report;
  report.failure = protocol::ReportFailure{.subject = protocol::Subject::Order,
                                           .step = protocol::Step::Read,
                                           .kind = error.kind,
                                           .message = error.message};
  return report;
}

AgentContext context_for(const Arguments& arguments, std::stop_token stop) {
  AgentContext context{.staging_dir = arguments.staging, .stop = std::move(stop)};
  return context;
}

// The guard must be readable and executable by the run, and writable by nobody.
Result<void> install_guard(const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path target = fs::path(folder) / "guard";
  const fs::path own = fs::read_symlink("/proc/self/exe", error);
  if (!error) fs::copy_file(own.parent_path() / "guard", target, error);
  if (!error) fs::permissions(target, fs::perms(0555), error);
  if (error) return failure(ErrorKind::System, "installing the guard: " + error.message());
  return {};
}

int run_prepare(const Arguments& arguments, std::stop_token stop) {
  if (!arguments.guard_folder.empty()) {
    if (const auto installed = install_guard(arguments.guard_folder); !installed) {
      return finish(unreadable<protocol::PrepareReport>(installed.error()), arguments.report);
    }
  }
  auto order = protocol::decode_prepare_order(read_file(arguments.order));
  if (!order) return finish(unreadable<protocol::PrepareReport>(order.error()), arguments.report);
  return finish(prepare(*order, context_for(arguments, std::move(stop))), arguments.report);
}

int run_collect(const Arguments& arguments) {
  auto order = protocol::decode_collect_order(read_file(arguments.order));
  if (!order) return finish(unreadable<protocol::CollectReport>(order.error()), arguments.report);
  return finish(collect(*order, context_for(arguments, {})).report, arguments.report);
}

int run_probe(const Arguments& arguments, const std::stop_token& stop) {
  const auto order = parse_probe_address(arguments.connect);
  if (!order) {
    std::fprintf(stderr, "agent: --connect: %s\n", order.error().message.c_str());
    return 2;
  }
  write_report(arguments.report, encode(probe(*order, stop)));
  return 0;
}

sigset_t termination() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  return set;
}

int wait_for(const sigset_t& set) {
  int signal = 0;
  while (sigwait(&set, &signal) != 0) {
  }
  return signal;
}

int main_with(const Arguments& arguments) {
  const sigset_t set = termination();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  umask(022);
  if (arguments.verb == "collect") {
    // Nothing that can fail comes before the signal: a collector that crashes early is restarted
    // with a back-off, and one that is backing off gets no signal at all.
    wait_for(set);
    return run_collect(arguments);
  }
  std::stop_source stop;
  std::thread([set, stop]() mutable {
    wait_for(set);
    stop.request_stop();
  }).detach();
  if (arguments.verb == "probe") return run_probe(arguments, stop.get_token());
  return run_prepare(arguments, stop.get_token());
}

}  // namespace
}  // namespace sandboxrun::agent

int main(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "--help" || first == "-h") {
    std::fputs(sandboxrun::agent::kUsage, stdout);
    return 0;
  }
  const auto arguments = sandboxrun::agent::parse(argc, argv);
  if (!arguments) {
    std::fputs(sandboxrun::agent::kUsage, stderr);
    return 2;
  }
  return sandboxrun::agent::main_with(*arguments);
}
