#include <unistd.h>

#include <utility>

#include "operator/base/json_writer.h"
#include "operator/cli/cli.h"
#include "operator/cli/manifest.h"
#include "operator/cli/pretty_json.h"
#include "operator/cli/screen.h"
#include "operator/cli/text.h"

namespace sandboxrun::cli {
namespace {

bool has_file_source(const Manifest& manifest) {
  const run::Spec& spec = manifest.run.spec;
  if (spec.environment.archive && spec.environment.archive->source.file) return true;
  for (const run::Asset& asset : spec.assets) {
    if (asset.source.file) return true;
  }
  return false;
}

std::string as_text(const std::vector<Manifest>& manifests, const CheckOptions& options,
                    std::size_t errors) {
  std::string text;
  bool local_would_help = false;
  for (const Manifest& manifest : manifests) {
    if (manifest.errors.empty()) text += manifest.name + "  ok\n";
    text += describe_errors(manifest);
    local_would_help |= !options.local && has_file_source(manifest);
  }
  if (errors > 0) text += counted(errors, "error") + "\n";
  if (errors > 0 && local_would_help) {
    text += "file: sources exist only on one machine; --local checks for `sandboxrun run`\n";
  }
  return text;
}

std::string as_json(const std::vector<Manifest>& manifests, std::size_t errors) {
  JsonWriter json;
  json.begin_object().key("files").begin_array();
  for (const Manifest& manifest : manifests) {
    json.begin_object();
    json.member("file", manifest.name).member("valid", manifest.errors.empty());
    json.key("errors").begin_array();
    for (const run::FieldError& error : manifest.errors) {
      json.begin_object();
      json.member("line", error.mark.line).member("column", error.mark.column);
      json.member("path", error.path).member("reason", to_string(error.rule));
      json.member("message", error.message);
      json.end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().member("errorCount", static_cast<std::int64_t>(errors)).end_object();
  const auto node = parse_json(json.text(), {.max_bytes = json.text().size() + 1});
  return node ? pretty_json(*node) : json.text() + "\n";
}

}  // namespace

int check_command(const CheckOptions& options) {
  std::vector<Manifest> manifests;
  std::size_t errors = 0;
  const run::Policy policy{.allow_http = options.allow_http};
  const auto where = options.local ? run::Where::Local : run::Where::Cluster;
  for (const std::string& path : options.files) {
    manifests.push_back(load_manifest(path, policy, where));
    errors += manifests.back().errors.size();
  }
  const bool json = options.format == Format::Json;
  write_all(STDOUT_FILENO, json ? as_json(manifests, errors) : as_text(manifests, options, errors));
  return errors == 0 ? kExitOk : kExitInvalid;
}

}  // namespace sandboxrun::cli
