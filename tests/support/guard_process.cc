#include "tests/support/guard_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <thread>

namespace sandboxrun::test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPoll = std::chrono::milliseconds(5);

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const auto& string : strings) result.push_back(const_cast<char*>(string.c_str()));
  result.push_back(nullptr);
  return result;
}

std::string read_all(int fd) {
  std::string text;
  char buffer[65536];
  for (off_t at = 0;;) {
    ssize_t count = pread(fd, buffer, sizeof buffer, at);
    if (count <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
    at += count;
  }
}

}  // namespace

TempFolder::TempFolder() {
  std::string name = "/tmp/sandboxrun-test.XXXXXX";
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = name;
  std::filesystem::permissions(path_, std::filesystem::perms(0755));
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Process::Process(const ProcessSpec& spec)
    : out_(memfd_create("stdout", MFD_CLOEXEC)), err_(memfd_create("stderr", MFD_CLOEXEC)) {
  auto argv = pointers(spec.argv);
  auto env = pointers(spec.env);
  pid_ = fork();
  if (pid_ != 0) return;
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(null, 0);
  dup2(out_.get(), 1);
  dup2(err_.get(), 2);
  if (spec.before_exec) spec.before_exec();
  execve(argv[0], argv.data(), env.data());
  _exit(99);
}

Process::~Process() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Process::signal(int number) const {
  kill(pid_, number);
}

std::string Process::output() const {
  return read_all(out_.get());
}

bool Process::wait_for_output(const std::string& text, std::chrono::seconds limit) const {
  for (auto end = Clock::now() + limit; Clock::now() < end; std::this_thread::sleep_for(kPoll)) {
    if (output().find(text) != std::string::npos) return true;
  }
  return false;
}

ProcessEnd Process::wait(std::chrono::seconds limit) {
  ProcessEnd end;
  int status = 0;
  auto last = Clock::now() + limit;
  pid_t ended = 0;
  while ((ended = waitpid(pid_, &status, WNOHANG)) == 0 && Clock::now() < last) {
    std::this_thread::sleep_for(kPoll);
  }
  if (ended == 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, &status, 0);
  } else {
    end.code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  pid_ = -1;
  end.out = read_all(out_.get());
  end.err = read_all(err_.get());
  return end;
}

ProcessEnd run_process(const ProcessSpec& spec, std::chrono::seconds limit) {
  return Process(spec).wait(limit);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string built_program(const std::string& name) {
  return std::string(SANDBOXRUN_BINARY_DIR) + "/bin/" + name;
}

DirectGuard::DirectGuard(std::vector<std::string> arguments, std::vector<std::string> env,
                         std::function<void()> before_exec) {
  write_file(log(), "");
  std::filesystem::permissions(log(), std::filesystem::perms(0666));
  ProcessSpec spec{.argv = {built_program("guard"), "--unsafe-skip-environment-checks",
                            "--termination-log", log().string()},
                   .before_exec = std::move(before_exec)};
  spec.argv.insert(spec.argv.end(), arguments.begin(), arguments.end());
  spec.env.push_back("LOG=" + log().string());
  spec.env.push_back("FOLDER=" + folder().string());
  spec.env.insert(spec.env.end(), env.begin(), env.end());
  process_ = std::make_unique<Process>(spec);
}

Node DirectGuard::record() const {
  return parse_record(record_text());
}

Node parse_record(const std::string& line) {
  EXPECT_LE(line.size(), 4096U);
  EXPECT_TRUE(line.ends_with('\n')) << line;
  EXPECT_EQ(line.find('\n'), line.size() - 1) << "more than one line: " << line;
  auto node = parse_json(line);
  if (!node) {
    ADD_FAILURE() << "not a record: " << node.error().message << ": " << line;
    return {};
  }
  return *node;
}

std::string field(const Node& record, const std::string& path) {
  const Node* node = &record;
  for (std::size_t at = 0; node != nullptr && at <= path.size();) {
    std::size_t dot = std::min(path.find('.', at), path.size());
    node = node->find(path.substr(at, dot - at));
    at = dot + 1;
  }
  if (node == nullptr) return "";
  if (node->kind == Node::Kind::Bool) return node->boolean ? "true" : "false";
  if (node->kind == Node::Kind::Int) return std::to_string(node->integer);
  return node->text;
}

}  // namespace sandboxrun::test
