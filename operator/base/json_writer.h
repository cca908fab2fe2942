#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sandboxrun {

/// Appends JSON (RFC 8259) to a string, without whitespace, members in the order they are given.
/// Guarantees: commas and escaping are right for any bytes; bytes that are not UTF-8 come out as
/// U+FFFD, so the result is always valid UTF-8.
/// Assumes: begin/end and key/value are called in a legal order (checked by assert).
class JsonWriter {
 public:
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);

  JsonWriter& string(std::string_view value);
  JsonWriter& integer(std::int64_t value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  /// Appends text that is JSON already.
  JsonWriter& raw(std::string_view json);

  /// key + value in one call.
  JsonWriter& member(std::string_view name, std::string_view value) {
    return key(name).string(value);
  }
  JsonWriter& member(std::string_view name, const char* value) { return key(name).string(value); }
  JsonWriter& member(std::string_view name, std::int64_t value) { return key(name).integer(value); }
  JsonWriter& member(std::string_view name, int value) { return key(name).integer(value); }
  JsonWriter& member(std::string_view name, bool value) { return key(name).boolean(value); }

  const std::string& text() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  void separate();

  std::string out_;
  std::vector<bool> first_;  // per open object or array: nothing written in it yet
  bool after_key_ = false;
};

/// Appends `value` as a quoted, escaped JSON string.
void append_json_string(std::string& out, std::string_view value);

/// `value` with every byte sequence that is not UTF-8 replaced by U+FFFD.
std::string to_valid_utf8(std::string_view value);

}  // namespace sandboxrun
