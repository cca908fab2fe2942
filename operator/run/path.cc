#include "operator/run/path.h"

#include <algorithm>
#include <vector>

namespace sandboxrun::run {

std::string normalise(std::string_view absolute) {
  std::vector<std::string_view> kept;
  while (!absolute.empty()) {
    const std::size_t slash = std::min(absolute.find('/'), absolute.size());
    const std::string_view component = absolute.substr(0, slash);
    absolute.remove_prefix(std::min(slash + 1, absolute.size()));
    if (component.empty() || component == ".") continue;
    if (component != "..") {
      kept.push_back(component);
    } else if (!kept.empty()) {
      kept.pop_back();
    }
  }
  std::string out;
  for (const std::string_view component : kept) out.append("/").append(component);
  return out.empty() ? "/" : out;
}

bool is_below(std::string_view inner, std::string_view outer) {
  if (outer == "/") return inner.size() > 1;
  return inner.size() > outer.size() + 1 && inner.starts_with(outer) && inner[outer.size()] == '/';
}

bool is_within(std::string_view inner, std::string_view outer) {
  return inner == outer || is_below(inner, outer);
}

int component_count(std::string_view normalised) {
  if (normalised == "/") return 0;
  return static_cast<int>(std::ranges::count(normalised, '/'));
}

std::string parent_of(std::string_view normalised) {
  const std::size_t slash = normalised.rfind('/');
  if (slash == 0 || slash == std::string_view::npos) return "/";
  return std::string(normalised.substr(0, slash));
}

}  // namespace sandboxrun::run
