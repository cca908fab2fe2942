#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace sandboxrun::kube {

/// Cuts a stream of pieces into lines; pieces need not end where lines do.
/// Guarantees: keeps at most one unfinished line of `max_line_bytes`; a line within one piece is
/// passed on without a copy; empty lines are dropped.
class LineSplitter {
 public:
  enum class Outcome { More, Stopped, TooLong };

  explicit LineSplitter(std::size_t max_line_bytes) : max_(max_line_bytes) {}

  /// Gives each line that `piece` completes to `sink`. Stopped: the sink said so. TooLong: a line
  /// is over the limit. After either, the splitter must not be used again.
  Outcome push(std::string_view piece, const std::function<bool(std::string_view)>& sink);

  /// True if the stream ended in the middle of a line.
  bool has_rest() const { return !rest_.empty(); }

 private:
  std::size_t max_;
  std::string rest_;
};

}  // namespace sandboxrun::kube
