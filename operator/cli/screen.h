#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include "operator/cli/text.h"
#include "operator/launch/launch.h"

namespace sandboxrun::cli {

/// Where output goes and what may be done there.
struct Display {
  int out = 1;                    ///< for the program's stdout and for documents
  int err = 2;                    ///< for the program's stderr and for everything that we say
  bool out_terminal = false;      ///< what goes there is neutralised and indented
  bool err_terminal = false;      ///< the same
  bool drawable = false;          ///< `err` is a terminal that can redraw a line
  bool same_file = false;         ///< both lead to the same terminal or file
  bool color = false;             ///< a terminal, and NO_COLOR is not set
  std::size_t fixed_columns = 0;  ///< from COLUMNS; 0: ask the terminal each time
  bool quiet = false;             ///< no progress: the program's output and nothing else
  bool output_to_err = false;     ///< the program's stdout goes to `err`, `out` is for a document
};

/// Looks at the two descriptors, and at COLUMNS, NO_COLOR and TERM (a dumb terminal is none).
Display detect_display(int out, int err,
                       const std::function<const char*(const char*)>& environment);

/// Writes all of `bytes`. While nobody reads it waits; once `give_up` is asked for it waits one
/// more second and drops the rest. A descriptor that refuses bytes (EPIPE) drops them at once.
/// Returns whether everything was written.
bool write_all(int fd, std::string_view bytes, const std::stop_token& give_up = {});

/// Draws one run: a live line while a stage is under way (at most ten times a second), one line for
/// each stage that is over, and the program's output between them as it comes.
/// Thread safety: every call may come from any thread.
/// Guarantees: bytes of the program reach a terminal only neutralised (text.h), and anything that
/// is not a terminal unchanged; a line of ours always begins at the start of a line.
class Screen {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  /// `command` is shown while the program runs. `give_up`: see write_all.
  Screen(Display display, std::string_view name, std::string_view command, std::stop_token give_up,
         Clock clock = std::chrono::steady_clock::now);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  /// Callbacks for launch().
  launch::Events events();

  /// A line of ours, also when quiet.
  void say(std::string_view line);
  /// A line of ours, left out when quiet.
  void note(std::string_view line);
  /// "weather  Succeeded    exit 0   total 4.5 s", left out when quiet.
  void summarize(std::string_view outcome, bool good, std::string_view text);

 private:
  struct Current {
    launch::Stage stage = launch::Stage::Image;
    std::chrono::steady_clock::time_point began;
    std::chrono::steady_clock::time_point counting_since;
    std::int64_t done = 0;
    std::int64_t total = 0;
    std::string unit;
  };

  void began(launch::Stage stage);
  void progressed(launch::Stage stage, std::int64_t done, std::int64_t total,
                  std::string_view unit);
  void ended(launch::Stage stage, std::string_view summary, std::chrono::milliseconds took);
  void output(bool is_stderr, std::string_view bytes);

  void tick(const std::stop_token& stop);
  std::string drawn() const;  // the live line with the sequences that draw it
  void draw();                // replaces the live line on the screen
  void put(int fd, std::string_view text);
  void put_line(std::string_view line);
  void put_output(bool is_stderr, std::string_view bytes, bool last);
  std::size_t columns() const;
  bool live() const { return display_.drawable && !display_.quiet; }
  int err_sink() const { return display_.same_file ? 0 : 1; }

  const Display display_;
  const std::string name_;
  const std::string command_;
  const std::stop_token give_up_;
  const Clock clock_;

  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::optional<Current> current_;
  std::array<Neutralizer, 2> streams_;  // stdout, stderr
  std::array<bool, 2> open_line_ = {};  // by sink: the last line has no newline yet
  std::array<bool, 2> gone_ = {};       // stdout, stderr: nobody takes any more bytes
  bool live_shown_ = false;
  std::jthread ticker_;  // last member: stops before the rest goes
};

}  // namespace sandboxrun::cli
