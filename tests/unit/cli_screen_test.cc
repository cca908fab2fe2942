#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <map>

#include "operator/base/fd.h"
#include "operator/cli/screen.h"

namespace sandboxrun::cli {
namespace {

using launch::Stage;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

// Everything that arrives within the given time, or until the other end is closed.
std::string read_for(int fd, milliseconds time) {
  std::string out;
  std::array<char, 4096> buffer{};
  while (true) {
    pollfd waited{fd, POLLIN, 0};
    if (poll(&waited, 1, static_cast<int>(time.count())) <= 0) return out;
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got <= 0) return out;
    out.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

struct Pipe {
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) std::abort();
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }
  std::string text() {
    write_end.reset();
    return read_for(read_end.get(), milliseconds(1000));
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

// A real pseudo-terminal that doesn't turn newlines into CR LF.
struct Terminal {
  explicit Terminal(unsigned short columns = 80) {
    winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    int main_end = -1;
    int program_end = -1;
    if (openpty(&main_end, &program_end, nullptr, nullptr, &size) != 0) std::abort();
    main.reset(main_end);
    program.reset(program_end);
    termios mode{};
    tcgetattr(program_end, &mode);
    mode.c_oflag &= ~static_cast<tcflag_t>(OPOST);
    tcsetattr(program_end, TCSANOW, &mode);
  }
  std::string text() { return read_for(main.get(), milliseconds(50)); }
  UniqueFd main;
  UniqueFd program;
};

Display display_on(int out, int err, std::map<std::string, const char*> variables = {}) {
  return detect_display(out, err, [variables](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second;
  });
}

TEST(Screen, WithoutATerminalPrintsOneLineForEachFinishedStage) {
  Pipe out;
  Pipe err;
  {
    Screen screen(display_on(out.write_end.get(), err.write_end.get()), "weather",
                  "python3 plot.py", {});
    const launch::Events events = screen.events();
    events.began(Stage::Environment);
    events.progress(Stage::Environment, 10, 20, "bytes");
    events.ended(Stage::Environment, "fetched 48.2 MB", milliseconds(900));
    events.began(Stage::Running);
    events.ended(Stage::Running, "", milliseconds(3400));
    events.began(Stage::CleanUp);
    events.ended(Stage::CleanUp, "", milliseconds(20));
    screen.summarize("Succeeded", true, "exit 0   total 4.5 s");
  }
  EXPECT_EQ(out.text(), "");
  EXPECT_EQ(err.text(),
            "weather  environment  fetched 48.2 MB                                            "
            "              0.9 s\n"
            "weather  ran          python3 plot.py                                            "
            "              3.4 s\n"
            "weather  Succeeded    exit 0   total 4.5 s\n");
}

TEST(Screen, WithoutATerminalPassesTheProgramsBytesUnchanged) {
  Pipe out;
  Pipe err;
  const std::string bytes("\x1b[31m\0\xff\r\n partial", 18);
  {
    Screen screen(display_on(out.write_end.get(), err.write_end.get()), "w", "c", {});
    const launch::Events events = screen.events();
    events.began(Stage::Running);
    events.output(false, bytes);
    events.output(true, "to stderr\n");
    events.ended(Stage::Running, "", milliseconds(0));
  }
  EXPECT_EQ(out.text(), bytes);
  EXPECT_THAT(err.text(), testing::StartsWith("to stderr\nw  ran "));
}

TEST(Screen, BeginsItsOwnLinesOnANewLine) {
  Pipe both;
  {
    Screen screen(display_on(both.write_end.get(), both.write_end.get()), "w", "c", {});
    const launch::Events events = screen.events();
    events.began(Stage::Running);
    events.output(false, "no newline");
    events.ended(Stage::Running, "", milliseconds(0));
  }
  EXPECT_THAT(both.text(), testing::StartsWith("no newline\nw  ran "));
}

TEST(Screen, QuietSaysNothingButTheProgramsOutput) {
  Pipe out;
  Pipe err;
  Display display = display_on(out.write_end.get(), err.write_end.get());
  display.quiet = true;
  {
    Screen screen(display, "w", "c", {});
    const launch::Events events = screen.events();
    events.began(Stage::Running);
    events.output(false, "hello");
    events.output(true, "trouble");
    events.ended(Stage::Running, "", milliseconds(0));
    screen.note("a note");
    screen.summarize("Succeeded", true, "exit 0");
  }
  EXPECT_EQ(out.text(), "hello");
  EXPECT_EQ(err.text(), "trouble");
}

TEST(Screen, SendsTheProgramsOutputToStderrWhenStdoutIsForADocument) {
  Pipe out;
  Pipe err;
  Display display = display_on(out.write_end.get(), err.write_end.get());
  display.output_to_err = true;
  Screen(display, "w", "c", {}).events().output(false, "hello\n");
  EXPECT_EQ(out.text(), "");
  EXPECT_EQ(err.text(), "hello\n");
}

TEST(Screen, OnATerminalIndentsAndNeutralizesTheProgramsLines) {
  Terminal terminal;
  Screen screen(display_on(terminal.program.get(), terminal.program.get()), "w", "c", {});
  const launch::Events events = screen.events();
  events.output(false, "one\n\ntw");
  events.output(false, "o\n\x1b]0;owned\x07\n");
  EXPECT_EQ(terminal.text(), "  one\n\n  two\n  \\x1b]0;owned\\x07\n");
}

TEST(Screen, OnATerminalDrawsALiveLineAndLeavesOneLine) {
  Terminal terminal;
  Screen screen(display_on(terminal.program.get(), terminal.program.get()), "weather", "c", {});
  const launch::Events events = screen.events();
  events.began(Stage::Environment);
  events.progress(Stage::Environment, 10'000'000, 20'000'000, "bytes");
  std::this_thread::sleep_for(milliseconds(250));
  EXPECT_THAT(terminal.text(),
              HasSubstr("\rweather  environment  [##########..........] 10.0 MB of 20.0 MB"));
  events.ended(Stage::Environment, "fetched 20.0 MB", milliseconds(300));
  EXPECT_EQ(terminal.text(),
            "\r\x1b[Kweather  environment  fetched 20.0 MB" + std::string(38, ' ') + "0.3 s\n");
}

TEST(Screen, RedrawsTheLiveLineAtMostTenTimesASecond) {
  Terminal terminal;
  Screen screen(display_on(terminal.program.get(), terminal.program.get()), "w", "c", {});
  const launch::Events events = screen.events();
  events.began(Stage::Environment);
  for (int i = 0; i < 1000; ++i) {
    events.progress(Stage::Environment, i, 1000, "bytes");
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  const std::string drawn = terminal.text();
  const auto times = std::ranges::count(drawn, '\r');
  EXPECT_GE(times, 3);
  EXPECT_LE(times, 15);
}

TEST(Screen, KeepsTheLiveLineBelowTheProgramsOutput) {
  Terminal terminal;
  Screen screen(display_on(terminal.program.get(), terminal.program.get()), "w", "cmd", {});
  const launch::Events events = screen.events();
  events.began(Stage::Running);
  terminal.text();
  events.output(false, "line\n");
  EXPECT_THAT(terminal.text(), HasSubstr("\r\x1b[K  line\n\rw  running      cmd   0."));
  // A line that has only begun is not drawn over.
  events.output(false, "50%");
  std::this_thread::sleep_for(milliseconds(250));
  EXPECT_THAT(terminal.text(), testing::EndsWith("\r\x1b[K  50%"));
}

TEST(Screen, HonoursTheTerminalsWidthAndColumns) {
  Terminal narrow(40);
  {
    Screen screen(display_on(narrow.program.get(), narrow.program.get()), "weather",
                  std::string(100, 'x'), {});
    screen.events().began(Stage::Running);
    EXPECT_THAT(narrow.text(), HasSubstr("\rweather  running      xxxxxxxx~   0.0 s\x1b[K"));
  }
  Terminal wide(200);
  Screen screen(display_on(wide.program.get(), wide.program.get(), {{"COLUMNS", "40"}}), "weather",
                std::string(100, 'x'), {});
  screen.events().began(Stage::Running);
  EXPECT_THAT(wide.text(), HasSubstr("\rweather  running      xxxxxxxx~   0.0 s\x1b[K"));
}

TEST(Screen, UsesNoColourWhenAskedNotTo) {
  Terminal terminal;
  const int fd = terminal.program.get();
  Screen(display_on(fd, fd), "w", "c", {}).summarize("Failed", false, "exit 1");
  EXPECT_EQ(terminal.text(), "w  \x1b[1;31mFailed\x1b[0m       exit 1\n");
  Screen(display_on(fd, fd, {{"NO_COLOR", "1"}}), "w", "c", {})
      .summarize("Failed", false, "exit 1");
  EXPECT_EQ(terminal.text(), "w  Failed       exit 1\n");
}

TEST(Screen, DrawsNothingOnADumbTerminalButStillNeutralizes) {
  Terminal terminal;
  const int fd = terminal.program.get();
  Screen screen(display_on(fd, fd, {{"TERM", "dumb"}}), "w", "c", {});
  screen.events().began(Stage::Running);
  screen.events().output(false, "\x1b[1m\n");
  EXPECT_EQ(terminal.text(), "  \\x1b[1m\n");
}

TEST(WriteAll, GivesUpOnAReaderThatIsStuckOnceTheRunIsCancelled) {
  Pipe pipe;
  std::stop_source cancelled;
  cancelled.request_stop();
  EXPECT_FALSE(write_all(pipe.write_end.get(), std::string(1 << 20, 'x'), cancelled.get_token()));
}

TEST(WriteAll, SurvivesAReaderThatWentAway) {
  const auto previous = std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  pipe.read_end.reset();
  EXPECT_FALSE(write_all(pipe.write_end.get(), "hello"));
  (void)std::signal(SIGPIPE, previous);
}

}  // namespace
}  // namespace sandboxrun::cli
