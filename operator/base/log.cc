#include "operator/base/log.h"

#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/ostream_sink.h>

#include <array>
#include <chrono>
#include <ostream>
#include <utility>

#include "operator/base/json_writer.h"
#include "operator/base/time.h"

namespace sandboxrun {
namespace {

constexpr std::size_t kQueue = 8192;

constexpr std::array<std::pair<std::string_view, LogLevel>, 4> kLevels = {{
    {"debug", LogLevel::Debug},
    {"info", LogLevel::Info},
    {"warn", LogLevel::Warn},
    {"error", LogLevel::Error},
}};

std::string_view name_of(LogLevel level) {
  return kLevels[static_cast<std::size_t>(level)].first;
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return spdlog::level::debug;
    case LogLevel::Info:
      return spdlog::level::info;
    case LogLevel::Warn:
      return spdlog::level::warn;
    case LogLevel::Error:
      break;
  }
  return spdlog::level::err;
}

std::string time_now() {
  const auto now = std::chrono::floor<Milliseconds>(std::chrono::system_clock::now());
  const TimePoint point(now.time_since_epoch());
  std::string text = format_time(point);
  const auto rest = (point - whole_seconds(point)).count();
  std::string fraction = std::to_string(1000 + rest);
  fraction[0] = '.';
  text.insert(text.size() - 1, fraction);
  return text;
}

using Fields = std::span<const LogField>;

void append_json(JsonWriter& json, Fields fields) {
  for (const LogField& field : fields) {
    json.key(field.key);
    if (const auto* text = std::get_if<std::string>(&field.value)) {
      json.string(*text);
    } else if (const auto* number = std::get_if<std::int64_t>(&field.value)) {
      json.integer(*number);
    } else {
      json.boolean(std::get<bool>(field.value));
    }
  }
}

std::string json_line(LogLevel level, std::string_view message, Fields scope, Fields fields) {
  JsonWriter json;
  json.begin_object();
  json.member("ts", time_now()).member("level", name_of(level)).member("msg", message);
  append_json(json, scope);
  append_json(json, fields);
  json.end_object();
  return json.take();
}

bool is_plain(std::string_view text) {
  for (const char c : text) {
    if (c <= ' ' || c == '"' || c == '\\' || c == '\x7f') return false;
  }
  return !text.empty();
}

void append_text(std::string& line, Fields fields) {
  for (const LogField& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    if (const auto* text = std::get_if<std::string>(&field.value)) {
      if (is_plain(*text)) {
        line += *text;
      } else {
        append_json_string(line, *text);
      }
    } else if (const auto* number = std::get_if<std::int64_t>(&field.value)) {
      line += std::to_string(*number);
    } else {
      line += std::get<bool>(field.value) ? "true" : "false";
    }
  }
}

std::string text_line(LogLevel level, std::string_view message, Fields scope, Fields fields) {
  std::string line = time_now() + " " + std::string(name_of(level)) + " ";
  for (const char c : message) line += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  append_text(line, scope);
  append_text(line, fields);
  return line;
}

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view name) {
  for (const auto& [text, level] : kLevels) {
    if (text == name) return level;
  }
  return std::nullopt;
}

std::optional<LogFormat> parse_log_format(std::string_view name) {
  if (name == "json") return LogFormat::Json;
  if (name == "text") return LogFormat::Text;
  return std::nullopt;
}

struct Log::Parts {
  LogFormat format;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
};

Log::Log(LogLevel level, LogFormat format, std::ostream& out) {
  auto pool = std::make_shared<spdlog::details::thread_pool>(kQueue, 1);
  auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(out, true);
  auto logger = std::make_shared<spdlog::async_logger>(
      "sandboxrun", std::move(sink), pool, spdlog::async_overflow_policy::overrun_oldest);
  logger->set_pattern("%v");
  logger->set_level(spdlog_level(level));
  parts_ = std::make_unique<Parts>(Parts{format, std::move(pool), std::move(logger)});
}

Log::~Log() = default;

void Log::write(LogLevel level, std::string_view message, Fields scope, LogFields fields) const {
  if (!parts_->logger->should_log(spdlog_level(level))) return;
  const Fields own(fields.begin(), fields.size());
  parts_->logger->log(spdlog_level(level), parts_->format == LogFormat::Json
                                               ? json_line(level, message, scope, own)
                                               : text_line(level, message, scope, own));
}

void Log::debug(std::string_view message, LogFields fields) const {
  write(LogLevel::Debug, message, {}, fields);
}
void Log::info(std::string_view message, LogFields fields) const {
  write(LogLevel::Info, message, {}, fields);
}
void Log::warn(std::string_view message, LogFields fields) const {
  write(LogLevel::Warn, message, {}, fields);
}
void Log::error(std::string_view message, LogFields fields) const {
  write(LogLevel::Error, message, {}, fields);
}

void ScopedLog::debug(std::string_view message, LogFields fields) const {
  log_->write(LogLevel::Debug, message, scope_, fields);
}
void ScopedLog::info(std::string_view message, LogFields fields) const {
  log_->write(LogLevel::Info, message, scope_, fields);
}
void ScopedLog::warn(std::string_view message, LogFields fields) const {
  log_->write(LogLevel::Warn, message, scope_, fields);
}
void ScopedLog::error(std::string_view message, LogFields fields) const {
  log_->write(LogLevel::Error, message, scope_, fields);
}

}  // namespace sandboxrun
