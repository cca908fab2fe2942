#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/error.h"
#include "operator/kube/api.h"
#include "operator/kube/watch_step.h"

/// From the API server's JSON to what is kept of an object.
namespace sandboxrun::kube {

/// Readable bytes that follow the JSON given to a Decoder, so that simdjson can read it in place.
inline constexpr std::size_t kJsonPadding = 64;

/// Reads from an object's JSON what its user needs, and nothing else. `json` is one whole object,
/// followed by kJsonPadding readable bytes; it is only valid during the call. A failure's message
/// names the field; the object's key stays known all the same (Cached::error).
template <typename T>
using Decoder = std::function<sandboxrun::Result<T>(const ObjectMeta& meta, std::string_view json)>;

/// An object as it is kept: its metadata and its projection.
/// Guarantees: never changed once it is shared.
/// Caveats: if `value` is empty, the object was there but could not be decoded, and `error` says
/// why.
template <typename T>
struct Cached {
  ObjectMeta meta;
  std::optional<T> value;
  std::string error;
};

/// Reads the lines of a watch and the bodies of lists, which come in pieces.
/// Guarantees: what it gives holds views into the text that was given, and nothing of its own;
/// fields may come in any order.
/// Caveats: not thread safe; keeps a buffer as large as the largest line so far.
class WatchReader {
 public:
  WatchReader();
  WatchReader(WatchReader&&) noexcept;
  WatchReader& operator=(WatchReader&&) noexcept;
  ~WatchReader();

  /// One event: WatchItem, Bookmark, WatchError, or Unreadable.
  Input read_event(std::string_view line);

  /// What becomes of a list's items: each with its metadata, its JSON valid during the call; or,
  /// if that cannot be read, which one it is and why.
  struct ListSink {
    std::function<void(Item)> item;
    std::function<void(const std::string& why)> skipped;
  };
  /// A piece of the body of a list. Errors: Malformed; then end_list() must follow.
  Result<void> read_list(std::string_view piece, const ListSink& sink);
  /// The body is over, wherever it has got to. Gives the page that the items were on, without them.
  Result<ListPage> end_list();

  /// The same text followed by kJsonPadding readable bytes, valid until the next call.
  std::string_view padded(std::string_view text);

 private:
  struct Parts;
  struct Reading;
  std::string read_metadata(std::string_view object, Reading& reading);

  std::unique_ptr<Parts> parts_;
};

}  // namespace sandboxrun::kube
