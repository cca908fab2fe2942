#include "sandbox-image/agent/entry_name.h"

#include <climits>
#include <cstddef>

#include "operator/base/json_writer.h"

namespace sandboxrun::agent {

namespace {

constexpr std::size_t kMaxShown = 200;

std::unexpected<Error> unsafe(std::string message) {
  return failure(ErrorKind::ArchiveUnsafe, std::move(message));
}

/// Takes the part up to the next "/" off the front of `rest`.
std::string_view next_component(std::string_view& rest) {
  const std::size_t slash = rest.find('/');
  const std::string_view component = rest.substr(0, slash);
  rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
  return component;
}

bool is_printable_ascii(char c) {
  return c >= 0x20 && c < 0x7f;
}

/// Whether the character that begins at `text[at]` changes how a terminal shows what follows:
/// C1 controls (U+0080..U+009F), line separators, and bidirectional marks and overrides.
bool is_deceptive(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  if (byte(at) == 0xc2) return byte(at + 1) < 0xa0;
  if (byte(at) != 0xe2) return false;
  if (byte(at + 1) == 0x80) return byte(at + 2) >= 0x8e && byte(at + 2) <= 0xae;
  return byte(at + 1) == 0x81 && byte(at + 2) >= 0xa6 && byte(at + 2) <= 0xa9;
}

}  // namespace

Result<std::string> entry_path(std::string_view name) {
  if (name.empty()) return unsafe("its name is empty");
  if (name.size() > PATH_MAX) return unsafe("its name is longer than 4096 bytes");
  if (name.find('\0') != std::string_view::npos) return unsafe("its name holds a NUL byte");
  if (name.front() == '/') return unsafe("its name is absolute; only relative names are unpacked");
  std::string path;
  path.reserve(name.size());
  for (std::string_view rest = name; !rest.empty();) {
    const std::string_view component = next_component(rest);
    if (component.empty() || component == ".") continue;
    if (component == "..") return unsafe("its name holds \"..\"");
    if (component.size() > NAME_MAX) {
      return unsafe("a part of its name is longer than 255 bytes");
    }
    if (!path.empty()) path += '/';
    path += component;
  }
  return path;
}

int depth_of(std::string_view path) {
  int depth = path.empty() ? 0 : 1;
  for (const char c : path) depth += c == '/' ? 1 : 0;
  return depth;
}

Result<void> check_link_target(std::string_view path, std::string_view target) {
  if (target.empty()) return unsafe("it is a symbolic link to nothing");
  if (target.size() >= PATH_MAX) return unsafe("its link target is longer than 4095 bytes");
  if (target.find('\0') != std::string_view::npos) {
    return unsafe("its link target holds a NUL byte");
  }
  if (target.front() == '/') {
    return unsafe("it is a symbolic link to the absolute path " + quote_name(target) +
                  "; only links relative to their own folder are allowed");
  }
  int above = depth_of(path) - 1;
  bool named = false;
  for (std::string_view rest = target; !rest.empty();) {
    const std::string_view component = next_component(rest);
    if (component.empty() || component == ".") continue;
    if (component != "..") {
      named = true;
    } else if (named) {
      return unsafe("it is a symbolic link to " + quote_name(target) +
                    ", which has \"..\" after a name; \"..\" may only begin a target");
    } else if (--above < 0) {
      return unsafe("it is a symbolic link to " + quote_name(target) + ", which leaves the tree");
    }
  }
  return {};
}

std::string escaped(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const bool utf8 = to_valid_utf8(text) == text;
  std::string shown;
  shown.reserve(text.size());
  std::size_t deceptive_until = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (utf8 && is_deceptive(text, i)) deceptive_until = i + (c == '\xc2' ? 2 : 3);
    if (c == '"' || c == '\\') {
      shown += '\\';
      shown += c;
    } else if (is_printable_ascii(c) || (utf8 && (c & 0x80) != 0 && i >= deceptive_until)) {
      shown += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      shown += "\\x";
      shown += kHex[byte >> 4];
      shown += kHex[byte & 15U];
    }
  }
  return shown;
}

std::string quote_name(std::string_view name) {
  if (name.size() <= kMaxShown) return '"' + escaped(name) + '"';
  std::size_t cut = kMaxShown;
  while (cut > 0 && (static_cast<unsigned char>(name[cut]) & 0xc0U) == 0x80U) --cut;
  return '"' + escaped(name.substr(0, cut)) + "...\"";
}

}  // namespace sandboxrun::agent
