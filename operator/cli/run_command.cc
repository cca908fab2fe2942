#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <stop_token>
#include <utility>

#include "operator/cli/cli.h"
#include "operator/cli/prepare_run.h"
#include "operator/cli/screen.h"
#include "operator/cli/signals.h"
#include "operator/cli/summary.h"
#include "operator/cli/text.h"
#include "operator/launch/wall_clock.h"
#include "operator/run/decide.h"

namespace sandboxrun::cli {
namespace {

using Clock = std::chrono::steady_clock;

void complain(std::string_view text) {
  write_all(STDERR_FILENO, fmt::format("sandboxrun: {}\n", text));
}

// What a cluster would write for a manifest that it refuses.
void print_refusal(const Manifest& refused, Format format) {
  write_all(STDERR_FILENO, fmt::format("{}{}; nothing was run\n", describe_errors(refused),
                                       counted(refused.errors.size(), "error")));
  if (format == Format::Text) return;
  std::string message;
  run::Rule rule = run::Rule::PolicyDenied;
  for (const run::FieldError& error : refused.errors) {
    message += (message.empty() ? "" : "; ") + run::format(error);
    if (error.rule == run::Rule::InvalidSpec) rule = run::Rule::InvalidSpec;
  }
  const run::Reason reason =
      rule == run::Rule::InvalidSpec ? run::Reason::InvalidSpec : run::Reason::PolicyDenied;
  const TimePoint now = launch::wall_clock();
  const run::Decision decision =
      run::decide_refused(reason, message, {.created = now}, run::Status{}, now);
  write_all(STDOUT_FILENO, status_document(refused.run.metadata.name, decision.status, format));
}

bool make_folder(const std::string& path, std::string_view what) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && std::filesystem::is_directory(path, error)) return true;
  complain(fmt::format("{} {} can be neither found nor made: {}; nothing was run", what,
                       one_line(path), error ? error.message() : "it is not a folder"));
  return false;
}

bool make_folders(const RunOptions& options) {
  const Machine& machine = options.machine;
  // The launcher makes the state folder, as the sandbox needs it.
  return make_folder(machine.cache_dir, "--cache") &&
         (options.results_dir.empty() || make_folder(options.results_dir, "--results"));
}

void note_reaped(Screen& screen, const Machine& machine) {
  const auto reaped = launch::reap(machine.state_dir, machine.runtime);
  if (!reaped) {
    screen.say("sandboxrun: " + one_line(reaped.error().message));
  } else if (*reaped > 0) {
    screen.note(fmt::format("cleaned up after {} that {} killed",
                            counted(static_cast<std::size_t>(*reaped), "earlier run"),
                            *reaped == 1 ? "was" : "were"));
  }
}

void note_results(Screen& screen, const run::Plan& plan, const std::string& results_dir) {
  if (!plan.results && !results_dir.empty()) {
    screen.note("--results has nothing to store: the manifest has no spec.results");
  } else if (plan.results && !plan.results->upload && results_dir.empty()) {
    screen.note("the results will not be kept; --results DIR stores them");
  }
}

// Ctrl-C: the first cancels, the second kills.
class Stopper {
 public:
  std::stop_token cancel() const { return cancel_.get_token(); }
  std::stop_token hurry() const { return hurry_.get_token(); }
  void show_on(Screen* screen) { screen_ = screen; }

  void signalled(int count) {
    if (count > 2) return;
    (count == 1 ? cancel_ : hurry_).request_stop();
    if (screen_ == nullptr) return;
    screen_->note(count == 1
                      ? "cancelling: the program is stopped, its results are still collected "
                        "(again to kill it at once)"
                      : "killing: the results are given up, everything is still cleaned up");
  }

 private:
  std::stop_source cancel_;
  std::stop_source hurry_;
  Screen* screen_ = nullptr;
};

void print_end(Screen& screen, const Display& display, const launch::Outcome& outcome,
               std::string_view name, std::chrono::milliseconds total) {
  const Summary summary = summarize(outcome, total);
  screen.summarize(summary.outcome, summary.good, summary.text);
  // Whoever wants quiet learns a program's own exit code from ours.
  const bool own_exit = outcome.status.reason() == run::Reason::NonZeroExit;
  if (summary.good || (display.quiet && own_exit)) return;
  if (display.quiet) {
    screen.say(fmt::format("sandboxrun: {}: {}", one_line(name), summary.text));
  }
  std::string_view rest = summary.why;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    screen.say("  " + std::string(rest.substr(0, end)));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

}  // namespace

int run_command(RunOptions options, const Surroundings& surroundings) {
  const auto start = Clock::now();
  fill_in(options.machine, surroundings);
  const auto loaded = load_for_this_machine(options.machine);
  if (!loaded) {
    print_refusal(loaded.error(), options.format);
    return kExitNotStarted;
  }
  if (!make_folders(options)) return kExitNotStarted;

  // Up to here a signal just ends us: nothing was made yet, and a manifest may come from a
  // terminal.
  Stopper stopper;
  SignalWatcher signals([&](int, int count) { stopper.signalled(count); });

  const run::Plan plan = run::make_plan(*loaded);
  launch::Options launch_with = launch_options(options.machine);
  launch_with.results_dir = options.results_dir;
  launch_with.hurry = stopper.hurry();
  launch_with.meanwhile = [&](int over) { signals.watch(over); };

  Display display = detect_display(STDOUT_FILENO, STDERR_FILENO, surroundings.environment);
  display.quiet = options.quiet;
  display.output_to_err = options.format != Format::Text;

  launch::Outcome outcome;
  {
    Screen screen(display, plan.name, shell_words(plan.argv), stopper.cancel());
    stopper.show_on(&screen);
    note_reaped(screen, options.machine);
    note_results(screen, plan, options.results_dir);
    outcome = launch::launch(plan, launch_with, screen.events(), stopper.cancel());
    stopper.show_on(nullptr);
    print_end(screen, display, outcome, plan.name,
              std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start));
  }
  if (options.format != Format::Text) {
    write_all(STDOUT_FILENO, status_document(plan.name, outcome.status, options.format));
  }
  return exit_code(outcome);
}

}  // namespace sandboxrun::cli
