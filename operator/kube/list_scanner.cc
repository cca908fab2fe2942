#include "operator/kube/list_scanner.h"

#include <optional>
#include <utility>

#include "operator/base/document.h"

namespace sandboxrun::kube {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool take(char wanted) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  bool at_end() {
    skip_space();
    return at_ == text_.size();
  }

  // A whole value, whatever it is; nothing if it does not end.
  std::optional<std::string_view> value() {
    skip_space();
    const std::size_t begin = at_;
    if (at_ >= text_.size()) return std::nullopt;
    const char first = text_[at_];
    const bool good = first == '"'                   ? skip_string()
                      : first == '{' || first == '[' ? skip_nested()
                                                     : skip_scalar();
    if (!good) return std::nullopt;
    return text_.substr(begin, at_ - begin);
  }

  // A member's name and its colon.
  std::optional<std::string_view> key() {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != '"') return std::nullopt;
    const std::size_t begin = at_ + 1;
    if (!skip_string()) return std::nullopt;
    const auto name = text_.substr(begin, at_ - 1 - begin);
    if (!take(':')) return std::nullopt;
    return name;
  }

 private:
  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
  }

  // Looks for quotes by memchr, which is many bytes at a time, and then whether they are escaped.
  bool skip_string() {
    const std::size_t begin = ++at_;
    while (true) {
      at_ = text_.find('"', at_);
      if (at_ == std::string_view::npos) {
        at_ = text_.size();
        return false;
      }
      std::size_t slashes = 0;
      while (at_ - slashes > begin && text_[at_ - slashes - 1] == '\\') ++slashes;
      ++at_;
      if (slashes % 2 == 0) return true;
    }
  }

  // Counts brackets only: whether they are of one kind is for the decoder to say.
  bool skip_nested() {
    int depth = 0;
    while (at_ < text_.size()) {
      switch (text_[at_]) {
        case '"':
          if (!skip_string()) return false;
          continue;
        case '{':
        case '[':
          ++depth;
          break;
        case '}':
        case ']':
          if (--depth == 0) {
            ++at_;
            return true;
          }
          break;
        default:
          break;
      }
      ++at_;
    }
    return false;
  }

  bool skip_scalar() {
    const std::size_t begin = at_;
    at_ = std::min(text_.find_first_of(",}] \n\r\t", at_), text_.size());
    return at_ > begin;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

// Gives each member of an object to `member(name, scanner)`, which must take its value.
template <typename Member>
std::optional<std::string> scan_object(Scanner& scanner, Member&& member) {
  if (!scanner.take('{')) return "not a JSON object";
  if (scanner.take('}')) return std::nullopt;
  do {
    const auto name = scanner.key();
    if (!name) return "a member of the object has no name";
    if (!member(*name, scanner)) return "the value of \"" + std::string(*name) + "\" has no end";
  } while (scanner.take(','));
  if (!scanner.take('}')) return "the object has no end";
  return std::nullopt;
}

bool scan_items(Scanner& scanner, std::vector<std::string_view>& items) {
  if (!scanner.take('[')) return scanner.value() == "null";  // Go's nil slice
  if (scanner.take(']')) return true;
  do {
    const auto item = scanner.value();
    if (!item) return false;
    items.push_back(*item);
  } while (scanner.take(','));
  return scanner.take(']');
}

}  // namespace

std::expected<EventParts, std::string> scan_event(std::string_view line) {
  Scanner scanner(line);
  EventParts parts;
  auto problem = scan_object(scanner, [&](std::string_view name, Scanner& rest) {
    const auto value = rest.value();
    if (!value) return false;
    if (name == "object") parts.object = *value;
    if (name == "type" && value->size() >= 2 && value->front() == '"') {
      parts.type = value->substr(1, value->size() - 2);
    }
    return true;
  });
  if (!problem && !scanner.at_end()) problem = "something follows the event on its line";
  if (!problem && parts.type.empty()) problem = "it has no type";
  if (!problem && !parts.object.starts_with('{')) problem = "it has no object";
  if (problem) return std::unexpected(std::move(*problem));
  return parts;
}

std::optional<std::string> scan_members(std::string_view object, const MemberSink& sink) {
  Scanner scanner(object);
  return scan_object(scanner, [&](std::string_view name, Scanner& rest) {
    const auto value = rest.value();
    if (value) sink(name, *value);
    return value.has_value();
  });
}

std::expected<ListParts, std::string> scan_list(std::string_view body) {
  Scanner scanner(body);
  ListParts parts;
  std::string_view metadata;
  auto problem = scan_object(scanner, [&](std::string_view name, Scanner& rest) {
    if (name == "items") return scan_items(rest, parts.items);
    const auto value = rest.value();
    if (!value) return false;
    if (name == "metadata") metadata = *value;
    return true;
  });
  if (!problem && !scanner.at_end()) problem = "something follows the list";
  if (problem) return std::unexpected(std::move(*problem));
  const auto node = parse_json(metadata.empty() ? "{}" : metadata);
  if (!node) return std::unexpected("its metadata: " + node.error().message);
  const auto text = [&](std::string_view name) {
    const Node* found = node->find(name);
    return found != nullptr && found->kind == Node::Kind::String ? found->text : std::string();
  };
  parts.resource_version = text("resourceVersion");
  parts.continue_token = text("continue");
  return parts;
}

}  // namespace sandboxrun::kube
