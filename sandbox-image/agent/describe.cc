#include "sandbox-image/agent/describe.h"

#include <array>
#include <cstdio>

#include "sandbox-image/agent/url.h"

namespace sandboxrun::agent {

std::string describe(const protocol::HttpLocation& location) {
  if (location.url.empty()) return "the URL from its Secret";
  auto url = parse_url(location.url);
  return url ? url->authority() : "an invalid URL";
}

std::string describe(const protocol::S3Location& location) {
  return "s3://" + location.bucket + "/" + location.key;
}

std::string describe(const protocol::FileLocation& location) {
  return location.path.substr(location.path.rfind('/') + 1);
}

std::string describe(const protocol::InlineText&) {
  return "the manifest";
}

std::string human_bytes(std::int64_t bytes) {
  static constexpr std::array kUnits = {"kB", "MB", "GB", "TB"};
  if (bytes < 1000) return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
  double value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  // 999.95 would be rounded up to "1000.0".
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", value, kUnits[unit]);
  return text.data();
}

}  // namespace sandboxrun::agent
