#include "tests/support/cli_process.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/support/setup_cache.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::test {
namespace {

const std::string kProgram = SANDBOXRUN_BINARY_DIR "/bin/sandboxrun";

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

std::string drain(int fd) {
  std::string out;
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return out;
    out.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

int wait_for_exit(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::pair<UniqueFd, UniqueFd> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace

CliResult run_cli(const std::vector<std::string>& arguments, std::string_view input,
                  const std::vector<std::string>& environment) {
  std::vector<std::string> words = {kProgram};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> variables = {"PATH=/usr/bin:/bin", "HOME=/nonexistent"};
  variables.insert(variables.end(), environment.begin(), environment.end());
  const std::vector<char*> argv = pointers(words);
  const std::vector<char*> envp = pointers(variables);
  auto [in_read, in_write] = make_pipe();
  auto [out_read, out_write] = make_pipe();
  auto [err_read, err_write] = make_pipe();
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(in_read.get(), 0);
    dup2(out_write.get(), 1);
    dup2(err_write.get(), 2);
    execve(kProgram.c_str(), argv.data(), envp.data());
    _exit(99);
  }
  in_read.reset();
  out_write.reset();
  err_write.reset();
  if (!input.empty() && write(in_write.get(), input.data(), input.size()) < 0) {
    throw std::runtime_error("the program does not read its input");
  }
  in_write.reset();
  CliResult result;
  std::thread err_reader([&, fd = err_read.get()] { result.err = drain(fd); });
  result.out = drain(out_read.get());
  err_reader.join();
  result.exit_code = wait_for_exit(pid);
  return result;
}

CliOnTerminal::CliOnTerminal(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {kProgram};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> variables = {"PATH=/usr/bin:/bin", "HOME=/nonexistent", "TERM=xterm"};
  const std::vector<char*> argv = pointers(words);
  const std::vector<char*> envp = pointers(variables);
  const winsize size{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  int terminal = -1;
  pid_ = forkpty(&terminal, nullptr, nullptr, &size);
  if (pid_ == 0) {
    execve(kProgram.c_str(), argv.data(), envp.data());
    _exit(99);
  }
  terminal_.reset(terminal);
}

CliOnTerminal::~CliOnTerminal() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  wait_for_exit(pid_);
}

bool CliOnTerminal::read_some(int milliseconds) {
  pollfd waited{terminal_.get(), POLLIN, 0};
  if (poll(&waited, 1, milliseconds) <= 0) return true;
  std::array<char, 4096> buffer{};
  const ssize_t got = read(terminal_.get(), buffer.data(), buffer.size());
  if (got <= 0) return false;  // EIO: the program has closed the terminal
  screen_.append(buffer.data(), static_cast<std::size_t>(got));
  return true;
}

bool CliOnTerminal::wait_for(std::string_view text) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (screen_.find(text) == std::string::npos) {
    if (std::chrono::steady_clock::now() > until || !read_some(100)) return false;
  }
  return true;
}

void CliOnTerminal::type(std::string_view keys) {
  if (write(terminal_.get(), keys.data(), keys.size()) < 0) {
    throw std::runtime_error("the terminal takes no keys");
  }
}

int CliOnTerminal::finish() {
  while (read_some(100)) {
  }
  return wait_for_exit(std::exchange(pid_, -1));
}

std::string locked(std::string_view key) {
  std::istringstream lines(read_file(setup_cache() + "/environments.lock"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(std::string(key) + "=")) return line.substr(key.size() + 1);
  }
  throw std::runtime_error("the lock file has no " + std::string(key) + "; run: ./dev setup");
}

}  // namespace sandboxrun::test
