#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

/// Points in time and how they are written. Nothing here reads a clock.
namespace sandboxrun {

using Milliseconds = std::chrono::milliseconds;

/// UTC, milliseconds. Times that come from Kubernetes have whole seconds.
using TimePoint = std::chrono::sys_time<Milliseconds>;

/// RFC 3339 in UTC with whole seconds, as Kubernetes writes times: "2026-05-01T08:15:30Z".
std::string format_time(TimePoint time);

/// Reads RFC 3339 as `format_time` writes it, also with a fraction of a second (cut to
/// milliseconds). Nothing for any other text, another offset than Z, or an impossible date.
std::optional<TimePoint> parse_time(std::string_view text);

/// A duration as kubectl prints it: whole seconds, the largest unit first, zero units left out:
/// "0s", "4s", "2m31s", "1h2s", "3d4h". Negative durations come out as "0s".
std::string format_duration(Milliseconds duration);

/// The time without its fraction of a second.
constexpr TimePoint whole_seconds(TimePoint time) {
  return TimePoint(std::chrono::floor<std::chrono::seconds>(time));
}

}  // namespace sandboxrun
