#include "operator/launch/references.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "operator/launch/files.h"
#include "operator/run/orders.h"

namespace sandboxrun::launch {
namespace {

constexpr std::size_t kMaxValueBytes = 128 * 1024 - 1;  // longer, exec fails

using Folders = std::map<std::string, std::string>;

std::unexpected<Error> missing(std::string_view kind, const std::string& name,
                               const std::string& key) {
  const std::string option = kind == "Secret" ? "--secret " : "--config-map ";
  std::string message = "the " + std::string(kind) + " \"" + name + "\"";
  message += key.empty() ? " is not known here; name its folder with " + option + name + "=DIR"
                         : " has no key \"" + key + "\"";
  return failure(ErrorKind::NotFound, std::move(message));
}

Result<void> check_keys(std::string_view kind, const run::ReferencedObject& object,
                        const Folders& folders) {
  const auto folder = folders.find(object.name);
  if (folder == folders.end()) return missing(kind, object.name, "");
  for (const std::string& key : object.keys) {
    struct stat info{};
    if (stat((folder->second + "/" + key).c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
      return missing(kind, object.name, key);
    }
  }
  return {};
}

Result<std::string> read_key(std::string_view kind, const run::KeyReference& ref,
                             const Folders& folders) {
  const auto folder = folders.find(ref.name);
  if (folder == folders.end()) return missing(kind, ref.name, "");
  // A mounted Secret's keys are links: follow them, as the folder is the caller's own.
  const UniqueFd directory(open(folder->second.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd file(openat(directory.get(), ref.key.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file) return missing(kind, ref.name, ref.key);
  auto value =
      read_open_file(file.get(), kMaxValueBytes,
                     "the " + std::string(kind) + " \"" + ref.name + "\", key \"" + ref.key + "\"");
  if (value && value->find('\0') != std::string::npos) {
    return failure(ErrorKind::InvalidInput, "the " + std::string(kind) + " \"" + ref.name +
                                                "\", key \"" + ref.key +
                                                "\", holds a zero byte and cannot be a variable");
  }
  return value;
}

/// The plan's variables and ours, in order; `look_up` gives the value of one that is a reference.
template <typename LookUp>
Result<std::vector<EnvValue>> environment_of(const run::Plan& plan, const LookUp& look_up) {
  std::vector<EnvValue> values;
  for (const run::PlanEnvVar& variable : plan.env) {
    if (const auto* text = std::get_if<std::string>(&variable.value)) {
      values.emplace_back(variable.name, *text);
      continue;
    }
    Result<std::string> value = look_up(variable, std::get<run::KeyReference>(variable.value));
    if (!value) return failure_within("env " + variable.name, value.error());
    values.emplace_back(variable.name, std::move(*value));
  }
  std::ranges::copy(run::sandbox_variables(plan), std::back_inserter(values));
  return values;
}

}  // namespace

Result<void> check_references(const run::Plan& plan, const Options& options) {
  for (const auto& objects : {run::prepare_references(plan), run::collect_references(plan)}) {
    for (const run::ReferencedObject& object : objects) {
      const bool secret = object.kind == run::ReferencedObject::Kind::Secret;
      auto checked = check_keys(secret ? "Secret" : "ConfigMap", object,
                                secret ? options.secrets : options.config_maps);
      if (!checked) return checked;
    }
  }
  return {};
}

Result<std::vector<EnvValue>> resolve_environment(const run::Plan& plan, const Options& options) {
  return environment_of(plan, [&](const run::PlanEnvVar& variable, const run::KeyReference& ref) {
    return variable.from_config_map ? read_key("ConfigMap", ref, options.config_maps)
                                    : read_key("Secret", ref, options.secrets);
  });
}

std::vector<EnvValue> describe_environment(const run::Plan& plan) {
  const auto name = [](const run::PlanEnvVar& variable, const run::KeyReference& ref) {
    const std::string kind = variable.from_config_map ? "ConfigMap " : "Secret ";
    return Result<std::string>("[" + kind + ref.name + ", key " + ref.key + "]");
  };
  return environment_of(plan, name).value();
}

}  // namespace sandboxrun::launch
