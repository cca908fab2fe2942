#include "operator/run/quantity.h"

#include <array>
#include <charconv>
#include <limits>
#include <optional>

namespace sandboxrun::run {
namespace {

__extension__ using Wide = __int128;

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

/// mantissa * 10^exponent * 2^shift
struct Quantity {
  std::int64_t mantissa = 0;
  int exponent = 0;
  int shift = 0;
};

struct Suffix {
  std::string_view name;
  int exponent;
  int shift;
};

constexpr std::array kSuffixes = {
    Suffix{"", 0, 0},    Suffix{"n", -9, 0},  Suffix{"u", -6, 0},  Suffix{"m", -3, 0},
    Suffix{"k", 3, 0},   Suffix{"M", 6, 0},   Suffix{"G", 9, 0},   Suffix{"T", 12, 0},
    Suffix{"P", 15, 0},  Suffix{"E", 18, 0},  Suffix{"Ki", 0, 10}, Suffix{"Mi", 0, 20},
    Suffix{"Gi", 0, 30}, Suffix{"Ti", 0, 40}, Suffix{"Pi", 0, 50}, Suffix{"Ei", 0, 60}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::unexpected<Error> bad(std::string_view what) {
  return failure(ErrorKind::InvalidInput, std::string(what));
}

bool apply_suffix(std::string_view text, Quantity& out) {
  for (const Suffix& suffix : kSuffixes) {
    if (suffix.name != text) continue;
    out.exponent += suffix.exponent;
    out.shift = suffix.shift;
    return true;
  }
  if (text.size() < 2 || (text.front() != 'e' && text.front() != 'E')) return false;
  text.remove_prefix(1);
  if (text.front() == '+') text.remove_prefix(1);
  int exponent = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, exponent);
  if (error != std::errc{} || end != last || exponent < -30 || exponent > 30) return false;
  out.exponent += exponent;
  return true;
}

Result<Quantity> parse(std::string_view text) {
  if (text.starts_with('-')) return bad("is negative");
  if (text.starts_with('+')) text.remove_prefix(1);
  Quantity out;
  std::size_t digits = 0;
  bool point = false;
  while (!text.empty() && (is_digit(text.front()) || (text.front() == '.' && !point))) {
    if (text.front() == '.') {
      point = true;
    } else {
      const int digit = text.front() - '0';
      if (out.mantissa > (kMax - digit) / 10) return bad("has too many digits");
      out.mantissa = out.mantissa * 10 + digit;
      ++digits;
      if (point) --out.exponent;
    }
    text.remove_prefix(1);
  }
  if (digits == 0 || !apply_suffix(text, out)) {
    return bad("is not an amount such as 500m, 2, 256Mi or 1.5Gi");
  }
  return out;
}

/// The quantity in units of 10^-scale, rounded up; `exact` says whether it needed no rounding.
Result<std::int64_t> in_units(const Quantity& quantity, int scale, bool& exact) {
  exact = true;
  Wide value = Wide{quantity.mantissa} << quantity.shift;
  if (quantity.mantissa != 0 && (value >> quantity.shift) != Wide{quantity.mantissa}) {
    return bad("is too large");
  }
  constexpr Wide kWideMax = (Wide{1} << 124);
  int exponent = quantity.exponent + scale;
  for (; exponent > 0 && value != 0; --exponent) {
    if (value > kWideMax / 10) return bad("is too large");
    value *= 10;
  }
  for (; exponent < 0 && value != 0; ++exponent) {
    if (value % 10 != 0) exact = false;
    value = value / 10 + (value % 10 != 0 ? 1 : 0);
  }
  if (value > Wide{kMax}) return bad("is too large");
  return static_cast<std::int64_t>(value);
}

}  // namespace

Result<std::int64_t> parse_bytes(std::string_view text) {
  const auto quantity = parse(text);
  if (!quantity) return std::unexpected(quantity.error());
  bool exact = true;
  return in_units(*quantity, 0, exact);
}

Result<std::int64_t> parse_millicores(std::string_view text) {
  const auto quantity = parse(text);
  if (!quantity) return std::unexpected(quantity.error());
  bool exact = true;
  auto millis = in_units(*quantity, 3, exact);
  if (millis && !exact) return bad("is finer than 1m, a thousandth of a CPU");
  return millis;
}

}  // namespace sandboxrun::run
