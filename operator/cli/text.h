#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Text as people read it on a terminal. Pure.
namespace sandboxrun::cli {

/// Decimal units, as disks and networks are sold: "0 B", "812 B", "182 kB", "48.2 MB", "1.3 GB".
std::string human_bytes(std::int64_t bytes);

/// "2,014".
std::string human_count(std::int64_t count);

/// "0.9 s", "59.4 s", then "1m", "2m31s", "1h2m".
std::string human_duration(std::chrono::milliseconds duration);

/// "1 error", "2 errors".
std::string counted(std::size_t count, std::string_view noun);

/// Words as a shell would want them typed: quoted only where needed.
std::string shell_words(const std::vector<std::string>& words);

/// How many columns `text` takes, for valid UTF-8 without control characters: one a code point.
std::size_t display_width(std::string_view text);

/// At most `columns` columns of `text`, the last one "~" if something was cut off.
std::string fit(std::string_view text, std::size_t columns);

/// Makes text from a stranger harmless on a terminal, chunk by chunk.
/// Guarantees: what comes out is valid UTF-8 in which the only control characters are newline and
/// tab. ESC, other C0 and C1 controls and DEL become `\x1b` and the like; characters that reorder
/// or break lines (bidirectional controls, U+2028, U+2029) become `\u202e` and the like; bytes that
/// are not UTF-8 become U+FFFD; CR before LF is dropped.
class Neutralizer {
 public:
  /// The harmless form of everything up to here; an unfinished character is kept for the next call.
  std::string feed(std::string_view bytes);
  /// The harmless form of what feed() kept back; the stream has ended.
  std::string finish();

 private:
  std::string pending_;
};

/// A whole text made harmless, on one line: newline and tab become a space.
std::string one_line(std::string_view text);

}  // namespace sandboxrun::cli
