#include "operator/cli/progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "operator/cli/text.h"

namespace sandboxrun::cli {
namespace {

// As wide as the longest label, so that the third column is straight.
constexpr std::size_t kLabelColumns = 11;
constexpr std::size_t kWidest = 100;
constexpr std::chrono::milliseconds kRateAfter{300};

std::string left_columns(std::string_view name, std::string_view label) {
  return fmt::format("{}  {:<{}}  ", name, label, kLabelColumns);
}

std::string bar(double share, std::size_t columns) {
  const auto full = static_cast<std::size_t>(share * static_cast<double>(columns));
  return "[" + std::string(full, '#') + std::string(columns - full, '.') + "]";
}

std::string amount(std::int64_t count, std::string_view unit) {
  return unit == "bytes" ? human_bytes(count) : human_count(count);
}

std::string count_text(const StageState& state, std::size_t columns) {
  std::string text;
  if (state.total > 0) {
    const double share =
        std::clamp(static_cast<double>(state.done) / static_cast<double>(state.total), 0.0, 1.0);
    text = fmt::format("{} {} of {}", bar(share, columns >= 72 ? 20 : 10),
                       amount(state.done, state.unit), amount(state.total, state.unit));
  } else {
    text = amount(state.done, state.unit);
  }
  if (state.unit != "bytes") return fmt::format("{} {}", text, state.unit);
  if (state.counting >= kRateAfter) {
    const double per_second =
        static_cast<double>(state.done) * 1000 / static_cast<double>(state.counting.count());
    text += fmt::format("   {}/s", human_bytes(static_cast<std::int64_t>(per_second)));
  }
  return text;
}

}  // namespace

std::string_view label(launch::Stage stage) {
  switch (stage) {
    case launch::Stage::Image:
      return "image";
    case launch::Stage::Environment:
      return "environment";
    case launch::Stage::Assets:
      return "assets";
    case launch::Stage::Setup:
      return "setup";
    case launch::Stage::Running:
      return "running";
    case launch::Stage::Results:
      return "results";
    case launch::Stage::CleanUp:
      return "cleaning up";
  }
  return "";
}

std::string live_line(std::string_view name, const StageState& state, std::size_t columns) {
  const std::string left = left_columns(name, label(state.stage));
  const std::string middle =
      state.unit.empty() ? std::string(state.detail) : count_text(state, columns);
  const std::string time = human_duration(state.elapsed);
  // The time stays visible however little room there is for the rest.
  const std::size_t room = columns > time.size() + 3 ? columns - time.size() - 3 : 0;
  return fit(fit(left + middle, room) + "   " + time, columns);
}

std::string finished_line(std::string_view name, std::string_view label, std::string_view text,
                          std::chrono::milliseconds took, std::size_t columns) {
  std::string line = left_columns(name, label);
  line += text;
  const std::string time = human_duration(took);
  const std::size_t used = display_width(line);
  const std::size_t width = std::min(columns, kWidest);
  const std::size_t gap = used + time.size() + 2 <= width ? width - used - time.size() : 2;
  return line + std::string(gap, ' ') + time;
}

std::string summary_line(std::string_view name, std::string_view outcome, std::string_view text) {
  return left_columns(name, outcome) + std::string(text);
}

}  // namespace sandboxrun::cli
