#include "operator/kube/line_splitter.h"

namespace sandboxrun::kube {

LineSplitter::Outcome LineSplitter::push(std::string_view piece,
                                         const std::function<bool(std::string_view)>& sink) {
  while (!piece.empty()) {
    const auto end = piece.find('\n');
    const auto part = piece.substr(0, end);
    if (rest_.size() + part.size() > max_) return Outcome::TooLong;
    if (end == std::string_view::npos) {
      rest_.append(part);
      return Outcome::More;
    }
    piece.remove_prefix(end + 1);
    std::string_view line = part;
    if (!rest_.empty()) {
      rest_.append(part);
      line = rest_;
    }
    if (!line.empty() && !sink(line)) return Outcome::Stopped;
    rest_.clear();
  }
  return Outcome::More;
}

}  // namespace sandboxrun::kube
