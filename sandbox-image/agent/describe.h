#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "sandbox-image/protocol/work_order.h"

namespace sandboxrun::agent {

/// Where bytes come from or go to, as it may be shown: a host, a bucket, a file's name; never a
/// path that may be signed, a query or a credential.
std::string describe(const protocol::HttpLocation& location);
std::string describe(const protocol::S3Location& location);
std::string describe(const protocol::FileLocation& location);
std::string describe(const protocol::InlineText& location);

template <typename... Kinds>
std::string describe(const std::variant<Kinds...>& location) {
  return std::visit([](const auto& one) { return describe(one); }, location);
}

/// "48.2 MB", "912 bytes": decimal units, one digit after the point.
std::string human_bytes(std::int64_t bytes);

}  // namespace sandboxrun::agent
