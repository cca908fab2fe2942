#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/run/field_error.h"
#include "operator/run/validate.h"

/// The parts of validate(), one function a subject. Internal to this folder.
namespace sandboxrun::run {

/// Collects what the rules find.
class Check {
 public:
  Check(const Policy& policy, Where where) : policy_(policy), where_(where) {}

  const Policy& policy() const { return policy_; }
  Where where() const { return where_; }
  std::vector<FieldError> take() { return std::move(errors_); }
  std::size_t count() const { return errors_.size(); }

  void invalid(std::string path, std::string message) {
    errors_.push_back({std::move(path), {}, std::move(message), Rule::InvalidSpec});
  }
  void denied(std::string path, std::string message) {
    errors_.push_back({std::move(path), {}, std::move(message), Rule::PolicyDenied});
  }

  // Each of these reports at most one error, at `path`.

  /// DNS-1123 label of at most 63 characters: a part of ours.
  void label(const std::string& path, std::string_view value);
  /// DNS-1123 subdomain: the name of a Kubernetes object.
  void object_name(const std::string& path, std::string_view value, std::size_t max);
  /// A key of a Secret or ConfigMap.
  void object_key(const std::string& path, std::string_view value);
  void key_reference(const std::string& path, const KeyReference& ref);
  /// "sha256:<64 hex>", hex in any case.
  void digest(const std::string& path, std::string_view value);
  void image(const std::string& path, std::string_view value);
  void range(const std::string& path, const std::optional<std::int64_t>& value, std::int64_t min,
             std::int64_t max);
  void max_items(const std::string& path, std::size_t count, std::size_t max,
                 std::string_view what);
  /// An argv or env string: bounded, without a zero byte.
  void argument(const std::string& path, std::string_view value);
  void command(const std::string& path, const std::vector<std::string>& argv);
  /// Printable text without control characters, at most `max` bytes.
  void plain_text(const std::string& path, std::string_view value, std::size_t max);
  /// An absolute path in its shortest form that can be mounted. True: it is one.
  bool absolute_path(const std::string& path, std::string_view value);

 private:
  const Policy& policy_;
  Where where_;
  std::vector<FieldError> errors_;
};

/// Where the kind of thing that a source stands for differs.
enum class SourceUse { Archive, Asset };
void check_source(Check& check, const std::string& path, const Source& source, SourceUse use);
void check_upload(Check& check, const std::string& path, const Upload& upload);

void check_environment(Check& check, const Environment& environment);
void check_assets(Check& check, const Spec& spec);
void check_results(Check& check, const Spec& spec);
void check_network(Check& check, const Spec& spec);
void check_process(Check& check, const Spec& spec);
void check_resources(Check& check, const Spec& spec);
void check_scheduling(Check& check, const Spec& spec);

/// The results folder with its default, as written.
std::string_view results_path(const Results& results);

/// Where a source or upload connects to; nothing: it does not, or the address is in a Secret.
struct Endpoint {
  std::string path;  ///< of the field
  std::string host;
  std::uint16_t port = 443;
  bool known = false;  ///< false: the host is in a Secret
};
/// One for each source and upload over a network. URLs that cannot be read are left out.
std::vector<Endpoint> endpoints_of(const Spec& spec);

}  // namespace sandboxrun::run
