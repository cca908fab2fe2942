#include "operator/run/check.h"

#include <algorithm>
#include <span>

#include "operator/run/limits.h"
#include "operator/run/path.h"
#include "operator/run/wording.h"

namespace sandboxrun::run {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

constexpr std::string_view kDigestPrefix = "sha256:";
constexpr std::size_t kDigestHex = 64;

bool is_label(std::string_view value) {
  if (value.empty() || value.size() > kMaxPartName) return false;
  const auto ok = [](char c) { return is_lower(c) || is_digit(c) || c == '-'; };
  return std::ranges::all_of(value, ok) && value.front() != '-' && value.back() != '-';
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  while (true) {
    const std::size_t at = text.find(separator);
    out.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

bool is_subdomain(std::string_view value) {
  return std::ranges::all_of(split(value, '.'), is_label);
}

/// One component of an image's repository: lower-case words joined by one '.', one or two '_', or
/// dashes.
bool is_repository_part(std::string_view part) {
  if (part.empty() || !(is_lower(part.front()) || is_digit(part.front()))) return false;
  if (!(is_lower(part.back()) || is_digit(part.back()))) return false;
  for (std::size_t i = 0; i < part.size(); ++i) {
    const char c = part[i];
    if (is_lower(c) || is_digit(c)) continue;
    if (c != '.' && c != '_' && c != '-') return false;
    const std::size_t run = part.find_first_not_of(c, i) - i;
    if (c != '-' && run > (c == '.' ? 1U : 2U)) return false;
    const char next = part[i + run];
    if (!is_lower(next) && !is_digit(next)) return false;
    i += run - 1;
  }
  return true;
}

bool is_registry(std::string_view part) {
  const std::size_t colon = part.find(':');
  if (colon != std::string_view::npos) {
    const std::string_view port = part.substr(colon + 1);
    if (port.empty() || port.size() > 5 || !std::ranges::all_of(port, is_digit)) return false;
  }
  return std::ranges::all_of(split(part.substr(0, colon), '.'), [](std::string_view label) {
    const auto ok = [](char c) { return is_lower(c) || is_upper(c) || is_digit(c) || c == '-'; };
    return !label.empty() && std::ranges::all_of(label, ok) && label.front() != '-' &&
           label.back() != '-';
  });
}

/// "[registry/]repository", without tag and digest.
bool is_repository(std::string_view name) {
  auto parts = split(name, '/');
  const bool has_registry =
      parts.size() > 1 &&
      (parts.front().find_first_of(".:") != std::string_view::npos || parts.front() == "localhost");
  if (has_registry && !is_registry(parts.front())) return false;
  return std::ranges::all_of(std::span(parts).subspan(has_registry ? 1 : 0), is_repository_part);
}

std::string_view without_tag(std::string_view name) {
  const std::size_t colon = name.rfind(':');
  if (colon == std::string_view::npos || name.find('/', colon) != std::string_view::npos) {
    return name;
  }
  return name.substr(0, colon);
}

bool has_control(std::string_view value) {
  return std::ranges::any_of(
      value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

}  // namespace

void Check::label(const std::string& path, std::string_view value) {
  if (is_label(value)) return;
  invalid(path, quoted(value) +
                    " is not a name: up to 63 of a-z, 0-9 and -, with a letter or digit at both "
                    "ends");
}

void Check::object_name(const std::string& path, std::string_view value, std::size_t max) {
  if (!value.empty() && value.size() <= max && is_subdomain(value)) return;
  invalid(path, quoted(value) + " is not a name: up to " + std::to_string(max) +
                    " of a-z, 0-9, - and ., with a letter or digit at both ends of each part");
}

void Check::object_key(const std::string& path, std::string_view value) {
  const auto ok = [](char c) {
    return is_lower(c) || is_upper(c) || is_digit(c) || c == '-' || c == '_' || c == '.';
  };
  const bool good = !value.empty() && value.size() <= kMaxObjectName && value != "." &&
                    !value.starts_with("..") && std::ranges::all_of(value, ok);
  if (good) return;
  invalid(path, quoted(value) +
                    " is not a key: up to 253 of a-z, A-Z, 0-9, -, _ and ., not "
                    "beginning with ..");
}

void Check::key_reference(const std::string& path, const KeyReference& ref) {
  object_name(member_path(path, "name"), ref.name, kMaxObjectName);
  object_key(member_path(path, "key"), ref.key);
}

void Check::digest(const std::string& path, std::string_view value) {
  const bool good = value.starts_with(kDigestPrefix) &&
                    value.size() == kDigestPrefix.size() + kDigestHex &&
                    std::ranges::all_of(value.substr(kDigestPrefix.size()), is_hex);
  if (good) return;
  invalid(path, quoted(value) +
                    " is not a digest; write sha256: and 64 hex digits (sha256sum FILE prints "
                    "them)");
}

void Check::image(const std::string& path, std::string_view value) {
  const std::size_t at = value.find('@');
  const std::string_view name = value.substr(0, at);
  const std::string_view bare = without_tag(name);
  const std::string wanted = std::string(bare) + "@sha256:<64 hex>";
  if (value.empty() || value.size() > kMaxImage || !is_repository(bare)) {
    return invalid(path, quoted(value) +
                             " is not an image reference; write registry/repository@sha256:<64 "
                             "hex>, lower case, at most 512 characters");
  }
  if (at == std::string_view::npos) {
    const std::string_view what =
        bare == name ? "names no version, so it means the tag latest" : "is a tag";
    return invalid(path, quoted(value) + " " + std::string(what) +
                             ", which can change under you; give a digest: " + wanted +
                             " (crane digest " + std::string(name) + " prints it)");
  }
  if (bare != name) {
    return invalid(path, quoted(value) +
                             " has a tag beside its digest, which would be ignored; write " +
                             std::string(bare) + std::string(value.substr(at)));
  }
  const std::string_view digest = value.substr(at + 1);
  const auto lower_hex = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); };
  if (!digest.starts_with(kDigestPrefix) || digest.size() != kDigestPrefix.size() + kDigestHex ||
      !std::ranges::all_of(digest.substr(kDigestPrefix.size()), lower_hex)) {
    invalid(path, quoted(digest) +
                      " is not an image digest; write sha256: and 64 hex digits in lower case");
  }
}

void Check::range(const std::string& path, const std::optional<std::int64_t>& value,
                  std::int64_t min, std::int64_t max) {
  if (!value || (*value >= min && *value <= max)) return;
  invalid(path, std::to_string(*value) + " is out of range; it may be " + std::to_string(min) +
                    " to " + std::to_string(max));
}

void Check::max_items(const std::string& path, std::size_t count, std::size_t max,
                      std::string_view what) {
  if (count <= max) return;
  invalid(path, "has " + std::to_string(count) + " " + std::string(what) + "; at most " +
                    std::to_string(max) + " are allowed");
}

void Check::argument(const std::string& path, std::string_view value) {
  if (value.find('\0') != std::string_view::npos) {
    return invalid(path, "holds a zero byte, which no program can be given");
  }
  if (value.size() <= kMaxArgumentBytes) return;
  invalid(path, "has " + std::to_string(value.size()) + " bytes; Linux takes at most " +
                    std::to_string(kMaxArgumentBytes) +
                    " in one string; pass large data as an asset");
}

void Check::command(const std::string& path, const std::vector<std::string>& argv) {
  if (argv.empty()) return invalid(path, "is empty; give the program and its arguments");
  max_items(path, argv.size(), kMaxArguments, "strings");
  if (argv.front().empty()) invalid(item_path(path, 0), "is empty; it names the program");
  for (std::size_t i = 0; i < argv.size(); ++i) argument(item_path(path, i), argv[i]);
}

void Check::plain_text(const std::string& path, std::string_view value, std::size_t max) {
  if (has_control(value)) return invalid(path, "holds a control character");
  if (value.size() <= max) return;
  invalid(path, "has " + std::to_string(value.size()) + " bytes; at most " + std::to_string(max) +
                    " are allowed");
}

bool Check::absolute_path(const std::string& path, std::string_view value) {
  if (!value.starts_with('/')) {
    invalid(path, value.empty() ? "must not be empty; give an absolute path"
                                : quoted(value) + " is relative; write an absolute path");
    return false;
  }
  const std::string normal = normalise(value);
  if (normal != value) {
    invalid(path, quoted(value) + " is not in its shortest form; write " + quoted(normal));
    return false;
  }
  if (has_control(value) || value.find(':') != std::string_view::npos) {
    invalid(path, quoted(value) + " holds a control character or a colon, which no mount takes");
    return false;
  }
  const auto parts = split(value.substr(1), '/');
  const bool long_part = std::ranges::any_of(
      parts, [](std::string_view part) { return part.size() > kMaxComponentBytes; });
  if (value.size() > kMaxPath || long_part || component_count(value) > kMaxPathComponents) {
    invalid(path, quoted(value) +
                      " is too long: a path has at most 512 bytes, 12 components and "
                      "255 bytes in each");
    return false;
  }
  return true;
}

}  // namespace sandboxrun::run
