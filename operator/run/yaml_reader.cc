#include "operator/run/yaml_reader.h"

#include <yaml-cpp/yaml.h>
// After yaml.h, which it needs:
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>

#include <sstream>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "operator/run/wording.h"
#include "operator/run/yaml_scalar.h"
#include "operator/run/yaml_text.h"

namespace sandboxrun::run {
namespace {

/// Leaves the parser from inside an event; caught in this file.
struct Refusal {
  Mark mark;
  std::string what;
};

Mark mark_of(const YAML::Mark& mark) {
  if (mark.is_null()) return {1, 1};
  return {mark.line + 1, mark.column + 1};
}

/// Builds a Node tree from yaml-cpp's events, so that everything is refused where it stands.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const DocumentLimits& limits) : limits_(limits) {}

  /// The document of which the last events told. Call after each document.
  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    // yaml-cpp stands still before a token that begins nothing, and would do so for ever.
    if (mark.pos <= document_start_) throw Refusal{mark_of(mark), "not YAML: text outside a map"};
    document_start_ = mark.pos;
    root_ = Node{};
    root_.mark = mark_of(mark);
    open_.clear();
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    Node node;
    node.mark = mark_of(mark);
    // An absent value has no place of its own: yaml-cpp gives the next token's.
    if (in_map() && open_.back().have_key) node.mark = open_.back().key_mark;
    add(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refusal{mark_of(mark), "an alias (*name); write the value out"};
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    const Mark at = mark_of(mark);
    Node node;
    if (tag == "?") {
      auto typed = type_plain_scalar(value);
      if (!typed) throw Refusal{at, typed.error().message};
      node = std::move(*typed);
    } else {
      refuse_tag(mark, tag);
      node.kind = Node::Kind::String;
      node.text = value;
    }
    node.mark = at;
    add(std::move(node), tag == "?");
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::List);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::Map);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    Node node;
    bool have_key = false;
    std::string key;
    Mark key_mark;
    std::unordered_map<std::string, int> key_lines;  // of the keys seen so far
  };

  bool in_map() const { return !open_.empty() && open_.back().node.kind == Node::Kind::Map; }

  static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) throw Refusal{mark_of(mark), "an anchor (&name); write the value out"};
  }

  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "!" || tag == "?") return;
    throw Refusal{mark_of(mark), "a tag (" + quoted(tag) + "); put text in quotes instead"};
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            Node::Kind kind) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (in_map() && !open_.back().have_key) {
      throw Refusal{mark_of(mark), "a key that is a list or a map; a key must be text"};
    }
    if (open_.size() >= static_cast<std::size_t>(limits_.max_depth)) {
      throw Refusal{mark_of(mark),
                    "nested deeper than " + std::to_string(limits_.max_depth) + " levels"};
    }
    Open entry;
    entry.node.kind = kind;
    entry.node.mark = mark_of(mark);
    open_.push_back(std::move(entry));
  }

  void close() {
    Node node = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(node));
  }

  void add(Node node, bool plain = false) {
    if (open_.empty()) {
      root_ = std::move(node);
    } else if (!in_map()) {
      open_.back().node.items.push_back(std::move(node));
    } else if (!open_.back().have_key) {
      take_key(node, plain);
    } else {
      Open& map = open_.back();
      map.node.entries.push_back({std::move(map.key), map.key_mark, std::move(node)});
      map.have_key = false;
    }
  }

  void take_key(const Node& node, bool plain) {
    Open& map = open_.back();
    if (plain && node.text == "<<") {
      throw Refusal{node.mark, "a merge key (<<); write the fields out"};
    }
    map.key = key_text(node);
    map.key_mark = node.mark;
    map.have_key = true;
    const auto [first, fresh] = map.key_lines.emplace(map.key, node.mark.line);
    if (!fresh) {
      throw Refusal{node.mark, "the key " + quoted(map.key) + " is here twice (first in line " +
                                   std::to_string(first->second) + "); remove one"};
    }
  }

  /// Keys are typed like values and turned back into text, as kubectl does: `on:` is "true".
  static std::string key_text(const Node& node) {
    switch (node.kind) {
      case Node::Kind::String:
        return node.text;
      case Node::Kind::Int:
        return std::to_string(node.integer);
      case Node::Kind::Bool:
        return node.boolean ? "true" : "false";
      default:
        throw Refusal{node.mark, "a key that is neither text nor a whole number; put it in quotes"};
    }
  }

  const DocumentLimits& limits_;
  int document_start_ = -1;
  Node root_;
  std::vector<Open> open_;
};

std::unexpected<Error> bad_yaml(Mark mark, std::string_view what) {
  return failure(
      ErrorKind::InvalidInput,
      std::to_string(mark.line) + ":" + std::to_string(mark.column) + ": " + std::string(what));
}

Result<Node> read_documents(YAML::Parser& parser, TreeBuilder& builder) {
  Node found;
  found.mark = {1, 1};
  while (parser.HandleNextDocument(builder)) {
    Node document = builder.take();
    // Nothing but comments between two `---`: a template that rendered to nothing.
    if (document.kind == Node::Kind::Null) continue;
    if (found.kind != Node::Kind::Null) {
      return bad_yaml(document.mark, "a second document begins here; a file holds one SandboxRun");
    }
    found = std::move(document);
  }
  return found;
}

}  // namespace

Result<Node> parse_yaml(std::string_view text, const DocumentLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return bad_yaml({1, 1}, std::to_string(text.size()) + " bytes; at most " +
                                std::to_string(limits.max_bytes) + " are read");
  }
  if (auto checked = check_yaml_text(text); !checked) return std::unexpected(checked.error());
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder(limits);
    return read_documents(parser, builder);
  } catch (const Refusal& refusal) {
    return bad_yaml(refusal.mark, refusal.what);
  } catch (const YAML::Exception& error) {
    return bad_yaml(mark_of(error.mark), "not YAML: " + error.msg);
  }
}

}  // namespace sandboxrun::run
