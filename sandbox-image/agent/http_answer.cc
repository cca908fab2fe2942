#include "sandbox-image/agent/http_answer.h"

#include <algorithm>
#include <charconv>

namespace sandboxrun::agent {
namespace {

constexpr std::size_t kMaxHeadBytes = std::size_t{64} * 1024;
constexpr std::size_t kMaxKeptBody = std::size_t{64} * 1024;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::optional<std::int64_t> parse_count(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range && !text.starts_with('-')) return INT64_MAX;
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

bool HttpAnswer::stop_with(ErrorKind kind, std::string_view message) {
  error_ = Error{kind, std::string(message)};
  return false;
}

bool HttpAnswer::header_line(std::string_view line) {
  head_bytes_ += line.size();
  if (head_bytes_ > kMaxHeadBytes) {
    return stop_with(ErrorKind::LimitExceeded, "the answer's head is larger than 64 KiB");
  }
  if (head_done_) return true;  // trailers after a chunked body change nothing
  line = trimmed(line);
  if (line.starts_with("HTTP/")) {
    const std::size_t space = line.find(' ');
    const auto status =
        space == std::string_view::npos ? std::nullopt : parse_count(line.substr(space + 1, 3));
    response_ = HttpResponse{};
    response_.status = static_cast<int>(status.value_or(0));
    length_.reset();
    chunked_ = false;
    return true;
  }
  if (line.empty()) return end_of_head();
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  return header(lower(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
}

bool HttpAnswer::header(std::string_view name, std::string_view value) {
  if (name == "content-length") return content_length(value);
  if (name == "transfer-encoding") chunked_ = lower(value).ends_with("chunked");
  if (name == "x-amz-bucket-region") response_.bucket_region = value;
  if (name == "retry-after") {
    const std::int64_t seconds = parse_count(value).value_or(0);
    response_.retry_after = std::chrono::seconds(std::min<std::int64_t>(seconds, 86400));
  }
  if (name == "location") {
    if (!response_.location.empty()) {
      return stop_with(ErrorKind::Denied, "the answer names two redirect targets");
    }
    response_.location = value;
  }
  return true;
}

bool HttpAnswer::content_length(std::string_view value) {
  const auto length = parse_count(value);
  if (!length || (length_ && *length_ != *length)) {
    return stop_with(ErrorKind::Transport, "the answer's Content-Length is not one number");
  }
  length_ = length;
  return true;
}

bool HttpAnswer::end_of_head() {
  if (response_.status < 200) return true;
  head_done_ = true;
  if (is_wanted() && !chunked_ && length_ && *length_ > request_.max_bytes) {
    return stop_with(ErrorKind::LimitExceeded, "the server announced more than the allowed " +
                                                   std::to_string(request_.max_bytes) + " bytes");
  }
  return true;
}

bool HttpAnswer::body(std::span<const std::byte> bytes) {
  if (!is_wanted()) {
    const std::size_t room = kMaxKeptBody - response_.body.size();
    response_.body.append(reinterpret_cast<const char*>(bytes.data()),
                          std::min(room, bytes.size()));
    return bytes.size() <= room;
  }
  body_bytes_ += static_cast<std::int64_t>(bytes.size());
  if (body_bytes_ > request_.max_bytes) {
    return stop_with(ErrorKind::LimitExceeded,
                     "more than the allowed " + std::to_string(request_.max_bytes) + " bytes");
  }
  auto taken = request_.sink(bytes, chunked_ ? 0 : length_.value_or(0));
  if (!taken) error_ = taken.error();
  return taken.has_value();
}

Result<void> HttpAnswer::check_length() const {
  if (!is_wanted() || chunked_) return {};
  if (!length_) {
    // Its end could as well be a cut connection.
    return failure(ErrorKind::Rejected, "the server does not say how long the file is");
  }
  if (*length_ != body_bytes_) {
    return failure(ErrorKind::Transport, "the body ended early");
  }
  return {};
}

}  // namespace sandboxrun::agent
