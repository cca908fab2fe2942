#pragma once

#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

/// The command line, read. docs/reference/cli.md describes it.
namespace sandboxrun::cli {

/// Exit codes of our own; a run's exit code is its program's.
inline constexpr int kExitOk = 0;
inline constexpr int kExitInvalid = 1;       ///< check, render: the manifest is not valid
inline constexpr int kExitUsage = 2;         ///< the command line is wrong
inline constexpr int kExitNotStarted = 125;  ///< run: the program was not started, or the run
                                             ///< failed although the program ended with 0

enum class Format { Text, Yaml, Json };

/// What `run` and `render` share: the machine's side of a run.
struct Machine {
  std::string file;  ///< the manifest; "-": standard input
  std::string runtime = "/usr/sbin/runc";
  std::string guard;      ///< empty: found beside our own program
  std::string cache_dir;  ///< empty: the default
  std::string state_dir;  ///< empty: the default
  std::string base_dir;   ///< empty: the manifest's folder
  std::vector<std::string> images;
  std::map<std::string, std::string> secrets;
  std::map<std::string, std::string> config_maps;
  std::vector<std::string> allow_addresses;
  bool allow_http = false;
};

struct RunOptions {
  Machine machine;
  std::string results_dir;
  bool quiet = false;
  Format format = Format::Text;
};

struct CheckOptions {
  std::vector<std::string> files;
  bool local = false;
  bool allow_http = false;
  Format format = Format::Text;
};

struct RenderOptions {
  Machine machine;
};

/// Nothing is left to do but to print something: help, a version, or what is wrong.
struct Answer {
  std::string text;
  int exit_code = kExitOk;  ///< 0: to stdout; else to stderr
};

using Command = std::variant<RunOptions, CheckOptions, RenderOptions, Answer>;

/// Reads `arguments` (without the program's name). All that is wrong with the flags' values is
/// reported together. Looks at folders that were named; touches nothing.
Command parse_arguments(const std::vector<std::string>& arguments);

/// Fills in what was not given, from our own program's folder, the environment (SANDBOXRUN_CACHE,
/// XDG_CACHE_HOME, XDG_RUNTIME_DIR, HOME) and the user.
struct Surroundings {
  std::string program;  ///< our own program's absolute path
  bool root = false;
  unsigned uid = 0;
  std::function<const char*(const char*)> environment;
};
void fill_in(Machine& machine, const Surroundings& surroundings);

}  // namespace sandboxrun::cli
