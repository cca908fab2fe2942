#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "operator/base/secret.h"

namespace sandboxrun {

enum class LogLevel { Debug, Info, Warn, Error };
enum class LogFormat {
  Json,  ///< one object a line: ts, level, msg, then the fields
  Text,  ///< for people: time, level, message, key=value
};

/// By name, in lower case: "debug", "info", "warn", "error"; "json", "text".
std::optional<LogLevel> parse_log_level(std::string_view name);
std::optional<LogFormat> parse_log_format(std::string_view name);

/// One key with its value. A Secret is no value: that does not compile.
struct LogField {
  LogField(std::string_view name, std::string_view text) : key(name), value(std::string(text)) {}
  LogField(std::string_view name, const std::string& text) : key(name), value(text) {}
  LogField(std::string_view name, const char* text) : key(name), value(std::string(text)) {}
  LogField(std::string_view name, bool flag) : key(name), value(flag) {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  LogField(std::string_view name, T number) : key(name), value(static_cast<std::int64_t>(number)) {}
  LogField(std::string_view name, const Secret& secret) = delete;

  std::string_view key;
  std::variant<std::string, std::int64_t, bool> value;
};
using LogFields = std::initializer_list<LogField>;

/// Where a program writes what it does, for people and machines.
/// Guarantees: thread safe; never blocks its callers on a slow reader (the oldest lines are dropped
/// when 8192 wait); one event is one line, whatever is in it; what was logged is written when the
/// Log is destroyed.
class Log {
 public:
  Log(LogLevel level, LogFormat format, std::ostream& out);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void debug(std::string_view message, LogFields fields = {}) const;
  void info(std::string_view message, LogFields fields = {}) const;
  void warn(std::string_view message, LogFields fields = {}) const;
  void error(std::string_view message, LogFields fields = {}) const;

 private:
  friend class ScopedLog;
  struct Parts;
  using Fields = std::span<const LogField>;
  void write(LogLevel level, std::string_view message, Fields scope, LogFields fields) const;

  std::unique_ptr<Parts> parts_;
};

/// A Log whose lines all carry the fields of one piece of work, before their own.
/// Assumptions: the Log outlives it, and so does what the keys point to.
class ScopedLog {
 public:
  ScopedLog(const Log& log, std::vector<LogField> scope) : log_(&log), scope_(std::move(scope)) {}

  void debug(std::string_view message, LogFields fields = {}) const;
  void info(std::string_view message, LogFields fields = {}) const;
  void warn(std::string_view message, LogFields fields = {}) const;
  void error(std::string_view message, LogFields fields = {}) const;

 private:
  const Log* log_;
  std::vector<LogField> scope_;
};

}  // namespace sandboxrun
