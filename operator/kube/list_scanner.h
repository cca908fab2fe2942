#pragma once

#include <cstddef>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

/// Cuts the answers of the API server into objects without parsing them, and lists without ever
/// holding them: one of 10,000 pods is 200 MB.
namespace sandboxrun::kube {

/// {"type": ..., "object": ...}
struct EventParts {
  std::string_view type;
  std::string_view object;
};

/// Guarantees: brackets and strings match in what is given; views point into the text.
/// Caveats: the values in between are not checked; whoever decodes them does that.
/// Errors: what was found instead, without the text itself.
std::expected<EventParts, std::string> scan_event(std::string_view line);

/// Gives each member of an object: its name as written and its value.
using MemberSink = std::function<void(std::string_view name, std::string_view value)>;
/// Errors: as above; nothing if all went well.
std::optional<std::string> scan_members(std::string_view object, const MemberSink& sink);

/// metadata.resourceVersion of an object, which is all that the answer to a write is asked for.
/// Errors: as above, or that there is none.
std::expected<std::string, std::string> scan_version(std::string_view object);

/// Cuts {"metadata": {...}, "items": [...]}, which comes in pieces, into its items.
/// Guarantees: keeps no more than one item and one piece; an item is given as soon as it is whole;
/// metadata may stand before the items or after them; each byte is looked at once.
/// Caveats: the items themselves are not checked. After an error it must not be used again.
class ListSplitter {
 public:
  using ItemSink = std::function<void(std::string_view item)>;

  struct Head {
    std::string resource_version;
    std::string continue_token;
  };

  /// Gives the items that `piece` completes; a view is valid during the call. Says what is wrong,
  /// or nothing.
  std::optional<std::string> push(std::string_view piece, const ItemSink& sink);

  /// Nothing more comes. Errors: what is wrong, without the text itself.
  std::expected<Head, std::string> finish() const;

  static constexpr std::size_t kMaxItemBytes = 8u << 20;  ///< etcd's own limit is 1.5 MiB

 private:
  enum class Expected {
    List,
    FirstName,
    Name,
    Colon,
    Value,
    EndOfMember,
    FirstItem,
    Item,
    EndOfItem,
    Nothing,
  };

  bool step(const ItemSink& sink);
  bool fail(std::string what);
  bool goes_on(Expected next);
  std::optional<std::string_view> value();
  bool find_end_of_value();
  bool find_end_of_string();

  Expected expected_ = Expected::List;
  std::string text_;       // what has come and is not used up
  std::size_t at_ = 0;     // in text_: everything before was looked at
  std::size_t begin_ = 0;  // in text_: where the value under way begins
  bool in_value_ = false;
  bool in_string_ = false;
  int depth_ = 0;  // of brackets, in the value under way
  std::string name_;
  std::string metadata_;
  std::optional<std::string> problem_;
};

}  // namespace sandboxrun::kube
