#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Cuts the answers of the API server into objects without parsing them: a full parse of a list of
/// 60 MB would need four times its size.
namespace sandboxrun::kube {

/// {"type": ..., "object": ...}
struct EventParts {
  std::string_view type;
  std::string_view object;
};

/// {"metadata": {...}, "items": [...]}
struct ListParts {
  std::string resource_version;
  std::string continue_token;
  std::vector<std::string_view> items;
};

/// Guarantees: brackets and strings match in what is given; views point into the text.
/// Caveats: the values in between are not checked; whoever decodes them does that.
/// Errors: what was found instead, without the text itself.
std::expected<EventParts, std::string> scan_event(std::string_view line);
std::expected<ListParts, std::string> scan_list(std::string_view body);

/// Gives each member of an object: its name as written and its value.
using MemberSink = std::function<void(std::string_view name, std::string_view value)>;
/// Errors: as above; nothing if all went well.
std::optional<std::string> scan_members(std::string_view object, const MemberSink& sink);

}  // namespace sandboxrun::kube
