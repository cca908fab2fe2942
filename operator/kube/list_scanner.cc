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

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
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

std::expected<std::string, std::string> scan_version(std::string_view object) {
  std::string_view metadata;
  if (auto problem = scan_members(object, [&](std::string_view name, std::string_view value) {
        if (name == "metadata") metadata = value;
      })) {
    return std::unexpected(std::move(*problem));
  }
  std::string_view version;
  if (auto problem = scan_members(metadata, [&](std::string_view name, std::string_view value) {
        if (name == "resourceVersion") version = value;
      })) {
    return std::unexpected("metadata: " + *problem);
  }
  const bool plain = version.size() > 2 && version.starts_with('"') && version.ends_with('"') &&
                     !version.contains('\\');
  if (!plain) return std::unexpected("it has no metadata.resourceVersion");
  return std::string(version.substr(1, version.size() - 2));
}

std::optional<std::string> ListSplitter::push(std::string_view piece, const ItemSink& sink) {
  text_.append(piece);
  while (!problem_) {
    while (!in_value_ && at_ < text_.size() && is_space(text_[at_])) ++at_;
    if (at_ == text_.size() || !step(sink)) break;
  }
  const std::size_t used = in_value_ ? begin_ : at_;
  text_.erase(0, used);
  at_ -= used;
  begin_ = 0;
  if (text_.size() > kMaxItemBytes) {
    fail("it has an item of more than " + std::to_string(kMaxItemBytes) + " bytes");
  }
  return problem_;
}

std::expected<ListSplitter::Head, std::string> ListSplitter::finish() const {
  if (problem_) return std::unexpected(*problem_);
  if (expected_ == Expected::List) return std::unexpected("not a JSON object");
  if (expected_ != Expected::Nothing) return std::unexpected("it has no end");
  const auto node = parse_json(metadata_.empty() ? "{}" : metadata_);
  if (!node) return std::unexpected("its metadata: " + node.error().message);
  const auto text = [&](std::string_view name) {
    const Node* found = node->find(name);
    return found != nullptr && found->kind == Node::Kind::String ? found->text : std::string();
  };
  return Head{text("resourceVersion"), text("continue")};
}

// Takes one token. False: it needs more text, or there is a problem.
bool ListSplitter::step(const ItemSink& sink) {
  const char c = text_[at_];
  switch (expected_) {
    case Expected::List:
      return c == '{' ? goes_on(Expected::FirstName) : fail("not a JSON object");
    case Expected::FirstName:
      if (!in_value_ && c == '}') return goes_on(Expected::Nothing);
      [[fallthrough]];
    case Expected::Name: {
      if (!in_value_ && c != '"') return fail("a member of the list has no name");
      const auto name = value();
      if (!name) return false;
      name_ = name->substr(1, name->size() - 2);
      expected_ = Expected::Colon;
      return true;
    }
    case Expected::Colon:
      return c == ':' ? goes_on(Expected::Value) : fail("a member of the list has no value");
    case Expected::Value: {
      const bool items = name_ == "items";
      if (items && !in_value_ && c == '[') return goes_on(Expected::FirstItem);
      const auto whole = value();
      if (!whole) return false;
      // Go writes a nil slice as null.
      if (items && *whole != "null") return fail("its items are not a list");
      if (name_ == "metadata") metadata_ = *whole;
      expected_ = Expected::EndOfMember;
      return true;
    }
    case Expected::EndOfMember:
      if (c == ',') return goes_on(Expected::Name);
      return c == '}' ? goes_on(Expected::Nothing) : fail("its members are not apart");
    case Expected::FirstItem:
      if (!in_value_ && c == ']') return goes_on(Expected::EndOfMember);
      [[fallthrough]];
    case Expected::Item: {
      const auto item = value();
      if (!item) return false;
      sink(*item);
      expected_ = Expected::EndOfItem;
      return true;
    }
    case Expected::EndOfItem:
      if (c == ',') return goes_on(Expected::Item);
      return c == ']' ? goes_on(Expected::EndOfMember) : fail("its items are not apart");
    case Expected::Nothing:
      break;
  }
  return fail("something follows the list");
}

bool ListSplitter::fail(std::string what) {
  problem_ = std::move(what);
  return false;
}

bool ListSplitter::goes_on(Expected next) {
  ++at_;
  expected_ = next;
  return true;
}

// The whole value that begins here or has begun already, if its end has come.
std::optional<std::string_view> ListSplitter::value() {
  if (!in_value_) {
    in_value_ = true;
    in_string_ = false;
    depth_ = 0;
    begin_ = at_;
  }
  if (!find_end_of_value()) return std::nullopt;
  in_value_ = false;
  if (at_ == begin_) {
    fail("a value is missing");
    return std::nullopt;
  }
  return std::string_view(text_).substr(begin_, at_ - begin_);
}

// Counts brackets only: whether they are of one kind is for the decoder to say.
bool ListSplitter::find_end_of_value() {
  while (at_ < text_.size()) {
    if (in_string_) {
      if (!find_end_of_string()) return false;
      if (depth_ == 0) return true;
      continue;
    }
    switch (text_[at_]) {
      case '"':
        in_string_ = true;
        break;
      case '{':
      case '[':
        ++depth_;
        break;
      case '}':
      case ']':
        if (depth_ == 0) return true;  // of a number or a word
        if (--depth_ == 0) {
          ++at_;
          return true;
        }
        break;
      case ',':
      case ' ':
      case '\n':
      case '\r':
      case '\t':
        if (depth_ == 0) return true;
        break;
      default:
        break;
    }
    ++at_;
  }
  return false;
}

// Looks for quotes by memchr, which is many bytes at a time, and then whether they are escaped; the
// string's own first quote ends the look back.
bool ListSplitter::find_end_of_string() {
  while (true) {
    at_ = text_.find('"', at_);
    if (at_ == std::string::npos) {
      at_ = text_.size();
      return false;
    }
    std::size_t slashes = 0;
    while (text_[at_ - slashes - 1] == '\\') ++slashes;
    ++at_;
    if (slashes % 2 != 0) continue;
    in_string_ = false;
    return true;
  }
}

}  // namespace sandboxrun::kube
