#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "operator/launch/launch.h"

/// The lines in which a run tells how far it is. Pure: what is drawn depends on nothing but the
/// arguments. Columns are: the run's name, the stage, what happened, the time.
namespace sandboxrun::cli {

/// What a live line shows of the stage under way.
struct StageState {
  launch::Stage stage = launch::Stage::Image;
  std::string_view detail;  ///< what is going on, if there is no count to show
  std::int64_t done = 0;
  std::int64_t total = 0;                 ///< 0: unknown
  std::string_view unit;                  ///< "bytes", or what is counted; empty: nothing is
  std::chrono::milliseconds counting{0};  ///< since the count began, for the rate
  std::chrono::milliseconds elapsed{0};   ///< since the stage began
};

/// The stage's word in the second column.
std::string_view label(launch::Stage stage);

/// One line, at most `columns` wide, without a newline: bar, rate, elapsed.
/// Assumes: `name` and the state's texts are harmless (see text.h).
std::string live_line(std::string_view name, const StageState& state, std::size_t columns);

/// One line, without a newline, the time on the right edge of `columns` (at most 100). Longer text
/// is never cut: it wraps.
std::string finished_line(std::string_view name, std::string_view label, std::string_view text,
                          std::chrono::milliseconds took, std::size_t columns);

/// "weather  Succeeded    exit 0   total 4.5 s", without a newline.
std::string summary_line(std::string_view name, std::string_view outcome, std::string_view text);

}  // namespace sandboxrun::cli
