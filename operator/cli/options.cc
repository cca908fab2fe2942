#include "operator/cli/options.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "operator/cli/help.h"
#include "operator/cli/text.h"
#include "sandbox-image/agent/address_policy.h"

namespace sandboxrun::cli {
namespace {

constexpr std::array<std::string_view, 4> kCommands = {"run", "check", "render", "version"};

// What CLI11 reads; the values are judged afterwards, all together.
struct Raw {
  Machine machine;
  std::vector<std::string> secrets;
  std::vector<std::string> config_maps;
  std::vector<std::string> files;
  std::string results_dir;
  std::string format;
  bool quiet = false;
  bool local = false;
  bool oci = false;
};

// ---- judging values ----

using Problems = std::vector<std::string>;

bool is_directory(const std::string& path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool is_object_name(std::string_view name) {  // RFC 1123 subdomain, as Kubernetes takes it
  const auto inner = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (name.empty() || name.size() > 253) return false;
  char previous = '.';
  for (const char c : name) {
    const bool ok = inner(c) || (c == '-' && previous != '.') ||
                    (c == '.' && previous != '.' && previous != '-');
    if (!ok) return false;
    previous = c;
  }
  return inner(previous);
}

bool is_plain_absolute(std::string_view path) {
  if (!path.starts_with('/') || path.size() < 2) return false;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view component = path.substr(0, path.find('/'));
    if (component.empty() || component == "." || component == "..") return false;
    path.remove_prefix(component.size());
  }
  return true;
}

void judge_program(Problems& problems, std::string_view flag, const std::string& path) {
  if (!is_plain_absolute(path)) {
    problems.push_back(fmt::format(
        "{} must be an absolute path without \".\", \"..\" and empty parts: programs that are "
        "trusted are never looked up",
        flag));
  }
}

void judge_folder(Problems& problems, std::string_view flag, const std::string& path) {
  if (!path.empty() && !is_directory(path)) {
    problems.push_back(fmt::format("{}: {} is not a folder", flag, one_line(path)));
  }
}

std::map<std::string, std::string> read_objects(Problems& problems, std::string_view flag,
                                                const std::vector<std::string>& pairs) {
  std::map<std::string, std::string> objects;
  for (const std::string& pair : pairs) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos) {
      problems.push_back(fmt::format("{} {}: write it as NAME=DIR", flag, one_line(pair)));
      continue;
    }
    const std::string name = pair.substr(0, equals);
    const std::string folder = pair.substr(equals + 1);
    if (!is_object_name(name)) {
      problems.push_back(
          fmt::format("{}: \"{}\" is no name of an object; use lower-case letters, digits, \"-\" "
                      "and \".\"",
                      flag, one_line(name)));
    } else if (!is_directory(folder)) {
      problems.push_back(
          fmt::format("{} {}: {} is not a folder; it must hold one file for each key", flag, name,
                      one_line(folder)));
    } else if (!objects.emplace(name, folder).second) {
      problems.push_back(fmt::format("{} {} is given twice", flag, name));
    }
  }
  return objects;
}

Format read_format(Problems& problems, const Raw& raw, bool yaml_too) {
  if (raw.format.empty()) return Format::Text;
  if (raw.format == "json") return Format::Json;
  if (raw.format == "yaml" && yaml_too) return Format::Yaml;
  problems.push_back(fmt::format("--output {}: give {}", one_line(raw.format),
                                 yaml_too ? "yaml or json" : "json"));
  return Format::Text;
}

Machine judge_machine(Problems& problems, const Raw& raw) {
  Machine machine = raw.machine;
  if (machine.file.empty()) problems.emplace_back("-f FILE is missing: name a manifest");
  judge_program(problems, "--runtime", machine.runtime);
  if (!machine.guard.empty()) judge_program(problems, "--guard", machine.guard);
  judge_folder(problems, "--base-dir", machine.base_dir);
  for (const std::string& layout : machine.images) {
    struct stat status{};
    if (stat((layout + "/oci-layout").c_str(), &status) != 0) {
      problems.push_back(
          fmt::format("--images: {} is no OCI image layout (it has no file oci-layout); `skopeo "
                      "copy docker://IMAGE oci:DIR` makes one",
                      one_line(layout)));
    }
  }
  machine.secrets = read_objects(problems, "--secret", raw.secrets);
  machine.config_maps = read_objects(problems, "--config-map", raw.config_maps);
  if (auto policy = agent::AddressPolicy::parse(machine.allow_addresses); !policy) {
    problems.push_back("--allow-address: " + one_line(policy.error().message));
  }
  return machine;
}

// ---- reading ----

void add_machine_flags(CLI::App& app, Raw& raw) {
  Machine& machine = raw.machine;
  const auto many = [&](const char* name, std::vector<std::string>& values) {
    app.add_option(name, values)->allow_extra_args(false);
  };
  app.add_option("-f,--file", machine.file);
  app.add_option("--base-dir", machine.base_dir);
  app.add_option("--runtime", machine.runtime);
  app.add_option("--guard", machine.guard);
  app.add_option("--cache", machine.cache_dir);
  app.add_option("--state-dir", machine.state_dir);
  many("--images", machine.images);
  many("--secret", raw.secrets);
  many("--config-map", raw.config_maps);
  many("--allow-address", machine.allow_addresses);
  app.add_flag("--allow-http", machine.allow_http);
}

void add_flags(CLI::App& app, std::string_view command, Raw& raw) {
  app.set_help_flag("-h,--help", "");
  if (command == "run" || command == "render") add_machine_flags(app, raw);
  if (command == "run") {
    app.add_option("--results", raw.results_dir);
    app.add_flag("-q,--quiet", raw.quiet);
  }
  if (command == "render") app.add_flag("--oci", raw.oci);
  if (command == "check") {
    app.add_option("FILE", raw.files);
    app.add_flag("--local", raw.local);
    app.add_flag("--allow-http", raw.machine.allow_http);
  }
  if (command == "run" || command == "check") app.add_option("-o,--output", raw.format);
}

// `app` has refused the arguments: what is wrong, in a sentence.
std::string describe_refusal(const CLI::App& app, const CLI::ParseError& error) {
  if (const auto* extra = dynamic_cast<const CLI::ExtrasError*>(&error)) {
    const auto remaining = app.remaining();
    const std::string first = remaining.empty() ? extra->get_name() : remaining.front();
    return fmt::format("\"{}\" is no flag or argument of this command", one_line(first));
  }
  // CLI11 begins its messages with the flag.
  const std::string_view what = error.what();
  const std::string flag = one_line(what.substr(0, what.find_first_of(": ")));
  if (what.find("missing") != std::string_view::npos) return flag + " needs a value";
  return flag + " is given more often than it may be";
}

int usage_exit(std::string_view command) {
  return command == "run" ? kExitNotStarted : kExitUsage;
}

Answer usage_answer(std::string_view command, const Problems& problems) {
  std::string text;
  for (const std::string& problem : problems) {
    text += fmt::format("sandboxrun {}: {}\n", command, problem);
  }
  text += fmt::format("`sandboxrun {} --help` explains every flag\n", command);
  return {std::move(text), usage_exit(command)};
}

Command judge(std::string_view command, const Raw& raw) {
  Problems problems;
  Command result;
  if (command == "run") {
    RunOptions options{.machine = judge_machine(problems, raw), .quiet = raw.quiet};
    options.results_dir = raw.results_dir;
    options.format = read_format(problems, raw, true);
    result = std::move(options);
  } else if (command == "render") {
    if (!raw.oci) problems.emplace_back("--oci is missing: it is the only form there is so far");
    result = RenderOptions{.machine = judge_machine(problems, raw)};
  } else {
    if (raw.files.empty()) problems.emplace_back("name at least one manifest, or - for stdin");
    result = CheckOptions{.files = raw.files,
                          .local = raw.local,
                          .allow_http = raw.machine.allow_http,
                          .format = read_format(problems, raw, false)};
  }
  if (!problems.empty()) return usage_answer(command, problems);
  return result;
}

Answer unknown_command(std::string_view word) {
  return {fmt::format("sandboxrun: there is no command \"{}\"; the commands are {}\n"
                      "`sandboxrun --help` explains them\n",
                      one_line(word), fmt::join(kCommands, ", ")),
          kExitUsage};
}

std::string version_text() {
  return fmt::format("sandboxrun {}\nmanifests: sandboxrun.dev/v1alpha1\n", SANDBOXRUN_VERSION);
}

}  // namespace

Command parse_arguments(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return Answer{std::string(help_text("")), kExitUsage};
  const std::string& command = arguments.front();
  if (command == "--help" || command == "-h") return Answer{std::string(help_text(""))};
  if (command == "help") {
    const std::string topic = arguments.size() > 1 ? arguments[1] : "";
    const bool known = topic.empty() || std::ranges::find(kCommands, topic) != kCommands.end();
    return known ? Answer{std::string(help_text(topic))} : unknown_command(topic);
  }
  if (command == "version" || command == "--version") return Answer{version_text()};
  if (std::ranges::find(kCommands, command) == kCommands.end()) return unknown_command(command);

  Raw raw;
  CLI::App app;
  try {
    add_flags(app, command, raw);
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend() - 1));
  } catch (const CLI::CallForHelp&) {
    return Answer{std::string(help_text(command))};
  } catch (const CLI::ParseError& error) {
    return usage_answer(command, {describe_refusal(app, error)});
  }
  return judge(command, raw);
}

void fill_in(Machine& machine, const Surroundings& surroundings) {
  const auto variable = [&](const char* name) -> std::string {
    const char* value = surroundings.environment(name);
    return value == nullptr ? "" : value;
  };
  const auto folder_of = [](const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string(".")
                                      : path.substr(0, std::max<std::size_t>(slash, 1));
  };
  if (machine.cache_dir.empty()) machine.cache_dir = variable("SANDBOXRUN_CACHE");
  if (machine.cache_dir.empty()) {
    const std::string base = variable("XDG_CACHE_HOME");
    machine.cache_dir =
        (base.starts_with('/') ? base : variable("HOME") + "/.cache") + "/sandboxrun";
  }
  if (machine.state_dir.empty()) {
    const std::string runtime_dir = variable("XDG_RUNTIME_DIR");
    if (surroundings.root) {
      machine.state_dir = "/var/lib/sandboxrun";  // on a disk: /run is memory
    } else if (runtime_dir.starts_with('/')) {
      machine.state_dir = runtime_dir + "/sandboxrun";
    } else {
      machine.state_dir = fmt::format("/tmp/sandboxrun-{}", surroundings.uid);
    }
  }
  if (machine.base_dir.empty()) {
    machine.base_dir = machine.file == "-" ? "." : folder_of(machine.file);
  }
  if (machine.guard.empty()) {
    const std::string here = folder_of(surroundings.program);
    const std::string installed = folder_of(here) + "/libexec/sandboxrun/guard";
    struct stat status{};
    machine.guard = stat(installed.c_str(), &status) == 0 ? installed : here + "/guard";
  }
}

}  // namespace sandboxrun::cli
