#include "operator/cli/screen.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <utility>

#include "operator/cli/progress.h"

namespace sandboxrun::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFrame{100};
constexpr milliseconds kLongEnoughToTell{1000};
constexpr std::size_t kDefaultColumns = 100;
constexpr std::size_t kCommandColumns = 60;  // a command may be 128 KiB long
constexpr std::string_view kErase = "\r\x1b[K";
constexpr std::string_view kIndent = "  ";

// A pipe that poll() calls writable takes this much without blocking (POSIX: PIPE_BUF is at least
// 512; Linux has 4096).
constexpr std::size_t kNeverBlocks = 4096;

milliseconds since(std::chrono::steady_clock::time_point start,
                   std::chrono::steady_clock::time_point now) {
  return std::chrono::duration_cast<milliseconds>(now - start);
}

std::size_t columns_of(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  return whole && value >= 20 && value <= 1000 ? value : 0;
}

bool same_file(int a, int b) {
  struct stat first{};
  struct stat second{};
  if (fstat(a, &first) != 0 || fstat(b, &second) != 0) return false;
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

// Each line with the indent before it; a line that was begun earlier goes on without.
std::string indented(std::string_view text, bool line_open) {
  std::string out;
  out.reserve(text.size() + 16);
  for (const char c : text) {
    if (!line_open && c != '\n') out += kIndent;
    out += c;
    line_open = c != '\n';
  }
  return out;
}

}  // namespace

Display detect_display(int out, int err,
                       const std::function<const char*(const char*)>& environment) {
  const auto value = [&](const char* name) -> std::string_view {
    const char* text = environment(name);
    return text == nullptr ? std::string_view{} : std::string_view{text};
  };
  Display display;
  display.out = out;
  display.err = err;
  display.out_terminal = isatty(out) == 1;
  display.err_terminal = isatty(err) == 1;
  display.drawable = display.err_terminal && value("TERM") != "dumb";
  display.same_file = same_file(out, err);
  display.color = display.drawable && value("NO_COLOR").empty();
  display.fixed_columns = columns_of(value("COLUMNS"));
  return display;
}

bool write_all(int fd, std::string_view bytes, const std::stop_token& give_up) {
  int frames_left = 10;  // of 100 ms, once nobody waits for the bytes any more
  while (!bytes.empty()) {
    pollfd waited{fd, POLLOUT, 0};
    const int ready = poll(&waited, 1, static_cast<int>(kFrame.count()));
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
      if (give_up.stop_requested() && --frames_left <= 0) return false;
      continue;
    }
    const ssize_t written = write(fd, bytes.data(), std::min(bytes.size(), kNeverBlocks));
    if (written < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (written > 0) bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

Screen::Screen(Display display, std::string_view name, std::string_view command,
               std::stop_token give_up, Clock clock)
    : display_(display),
      name_(one_line(name)),
      command_(one_line(command)),
      give_up_(std::move(give_up)),
      clock_(std::move(clock)) {
  if (live()) ticker_ = std::jthread([this](const std::stop_token& stop) { tick(stop); });
}

Screen::~Screen() {
  const std::lock_guard lock(mutex_);
  current_.reset();
  if (live_shown_) put(display_.err, kErase);
}

launch::Events Screen::events() {
  return {
      .began = [this](launch::Stage stage) { began(stage); },
      .progress = [this](launch::Stage stage, std::int64_t done, std::int64_t total,
                         std::string_view unit) { progressed(stage, done, total, unit); },
      .ended = [this](launch::Stage stage, std::string_view summary,
                      milliseconds took) { ended(stage, summary, took); },
      .output = [this](bool is_stderr, std::string_view bytes) { output(is_stderr, bytes); },
      .retrying =
          [this](std::string_view message) {
            note(summary_line(name_, "retrying", one_line(message)));
          },
  };
}

void Screen::began(launch::Stage stage) {
  const std::lock_guard lock(mutex_);
  const auto now = clock_();
  current_ = Current{.stage = stage, .began = now, .counting_since = now};
  draw();
}

void Screen::progressed(launch::Stage stage, std::int64_t done, std::int64_t total,
                        std::string_view unit) {
  const std::lock_guard lock(mutex_);
  if (!current_ || current_->stage != stage) return;
  // The ticker draws: however often this is called, the screen changes ten times a second.
  if (current_->unit != unit || done < current_->done) current_->counting_since = clock_();
  current_->done = done;
  current_->total = total;
  if (current_->unit != unit) current_->unit = unit;
}

void Screen::ended(launch::Stage stage, std::string_view summary, milliseconds took) {
  const std::lock_guard lock(mutex_);
  if (stage == launch::Stage::Running) {
    put_output(false, {}, true);
    put_output(true, {}, true);
  }
  current_.reset();
  if (display_.quiet) return;
  // Our own housekeeping is of interest only if somebody has to wait for it.
  const bool housekeeping = stage == launch::Stage::CleanUp || stage == launch::Stage::Setup;
  if (housekeeping && summary.empty() && took < kLongEnoughToTell) {
    draw();
    return;
  }
  const bool running = stage == launch::Stage::Running;
  std::string text = running ? fit(command_, kCommandColumns) : one_line(summary);
  if (running && !summary.empty()) text += "   " + one_line(summary);
  put_line(finished_line(name_, running ? "ran" : label(stage), text, took, columns()));
}

void Screen::output(bool is_stderr, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  put_output(is_stderr, bytes, false);
}

void Screen::say(std::string_view line) {
  const std::lock_guard lock(mutex_);
  put_line(line);
}

void Screen::note(std::string_view line) {
  if (!display_.quiet) say(line);
}

void Screen::summarize(std::string_view outcome, bool good, std::string_view text) {
  std::string line = summary_line(name_, outcome, text);
  if (display_.color) {
    const std::size_t at = name_.size() + 2;
    line.insert(at + outcome.size(), "\x1b[0m");
    line.insert(at, good ? "\x1b[1;32m" : "\x1b[1;31m");
  }
  note(line);
}

void Screen::tick(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    wake_.wait_for(lock, stop, kFrame, [] { return false; });
    if (current_ && !stop.stop_requested()) draw();
  }
}

std::string Screen::drawn() const {
  // A line that the program has begun stays alone until it is finished.
  if (!live() || !current_ || open_line_[static_cast<std::size_t>(err_sink())]) return {};
  const auto now = clock_();
  const StageState state{.stage = current_->stage,
                         .detail = current_->stage == launch::Stage::Running
                                       ? std::string_view(command_)
                                       : std::string_view(),
                         .done = current_->done,
                         .total = current_->total,
                         .unit = current_->unit,
                         .counting = since(current_->counting_since, now),
                         .elapsed = since(current_->began, now)};
  // The last column stays free: a character there makes some terminals wrap.
  return "\r" + live_line(name_, state, columns() - 1) + "\x1b[K";
}

void Screen::draw() {
  std::string text = drawn();
  const bool shows = !text.empty();
  if (!shows && live_shown_) text = kErase;
  if (!text.empty()) put(display_.err, text);
  live_shown_ = shows;
}

void Screen::put(int fd, std::string_view text) {
  bool& gone = gone_[fd == display_.out ? 0 : 1];
  if (!gone) gone = !write_all(fd, text, give_up_);
}

void Screen::put_line(std::string_view line) {
  bool& open = open_line_[static_cast<std::size_t>(err_sink())];
  std::string text;
  if (live_shown_) text += kErase;
  if (open) text += '\n';
  open = false;
  text += line;
  text += '\n';
  const std::string live_again = drawn();
  live_shown_ = !live_again.empty();
  put(display_.err, text + live_again);
}

void Screen::put_output(bool is_stderr, std::string_view bytes, bool last) {
  const bool to_err = is_stderr || display_.output_to_err;
  const bool terminal = to_err ? display_.err_terminal : display_.out_terminal;
  const int fd = to_err ? display_.err : display_.out;
  bool& open = open_line_[to_err ? static_cast<std::size_t>(err_sink()) : 0];

  std::string text;
  if (terminal) {
    Neutralizer& stream = streams_[is_stderr ? 1 : 0];
    text = last ? stream.finish() : stream.feed(bytes);
    if (!display_.quiet) text = indented(text, open);
  } else if (!last) {
    text = bytes;
  }
  if (text.empty()) return;
  open = text.back() != '\n';

  const bool on_live_screen = to_err || display_.same_file;
  if (live_shown_ && on_live_screen) text.insert(0, kErase);
  if (on_live_screen) {
    const std::string live_again = drawn();
    live_shown_ = !live_again.empty();
    text += live_again;
  }
  put(fd, text);
}

std::size_t Screen::columns() const {
  if (display_.fixed_columns != 0) return display_.fixed_columns;
  winsize size{};
  if (display_.err_terminal && ioctl(display_.err, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) {
    return size.ws_col;
  }
  return kDefaultColumns;
}

}  // namespace sandboxrun::cli
