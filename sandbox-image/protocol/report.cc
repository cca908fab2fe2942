#include "sandbox-image/protocol/report.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "operator/base/json_writer.h"
#include "sandbox-image/protocol/fields.h"

namespace sandboxrun::protocol {
namespace {

// With 64 assets that each report a digest there is little room left, so a message may take what
// the rest leaves over, down to this.
constexpr std::size_t kMaxMessageBytes = 1024;
constexpr std::size_t kMaxReportAssets = 64;
constexpr std::string_view kSha256 = "sha256:";
constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kDigestBase64 = 43;

constexpr std::array kSubjects = {
    std::pair{Subject::Order, std::string_view("order")},
    std::pair{Subject::Environment, std::string_view("environment")},
    std::pair{Subject::Asset, std::string_view("asset")},
    std::pair{Subject::Results, std::string_view("results")},
};

constexpr std::array kSteps = {
    std::pair{Step::Read, std::string_view("read")},
    std::pair{Step::Fetch, std::string_view("fetch")},
    std::pair{Step::Verify, std::string_view("verify")},
    std::pair{Step::Unpack, std::string_view("unpack")},
    std::pair{Step::Place, std::string_view("place")},
    std::pair{Step::Archive, std::string_view("archive")},
    std::pair{Step::Upload, std::string_view("upload")},
};

constexpr std::array kKinds = {
    ErrorKind::InvalidInput,   ErrorKind::NotFound,      ErrorKind::Denied,
    ErrorKind::Transport,      ErrorKind::Rejected,      ErrorKind::DigestMismatch,
    ErrorKind::ArchiveCorrupt, ErrorKind::ArchiveUnsafe, ErrorKind::LimitExceeded,
    ErrorKind::Timeout,        ErrorKind::Cancelled,     ErrorKind::Unavailable,
    ErrorKind::System,         ErrorKind::Internal};

std::string to_base36(std::int64_t value) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 36).ptr;
  return {digits.data(), end};
}

bool from_base36(std::string_view text, std::int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, 36);
  return error == std::errc{} && end == text.data() + text.size() && out >= 0;
}

// "sha256:<hex>" as 43 characters of base64url, or "" if it is no such digest.
std::string compact_digest(std::string_view digest) {
  if (!digest.starts_with(kSha256)) return "";
  digest.remove_prefix(kSha256.size());
  std::array<unsigned char, kDigestBytes> bytes{};
  if (digest.size() != 2 * kDigestBytes) return "";
  for (std::size_t i = 0; i < kDigestBytes; ++i) {
    const char* at = digest.data() + 2 * i;
    if (std::from_chars(at, at + 2, bytes[i], 16).ptr != at + 2) return "";
  }
  std::array<unsigned char, kDigestBase64 + 2> encoded{};
  EVP_EncodeBlock(encoded.data(), bytes.data(), static_cast<int>(bytes.size()));
  std::string out(encoded.begin(), encoded.begin() + kDigestBase64);
  std::ranges::replace(out, '+', '-');
  std::ranges::replace(out, '/', '_');
  return out;
}

// The reverse; "" if `text` is not what compact_digest makes.
std::string full_digest(std::string_view text) {
  if (text.size() != kDigestBase64) return "";
  std::string padded = std::string(text) + "=";
  std::ranges::replace(padded, '-', '+');
  std::ranges::replace(padded, '_', '/');
  std::array<unsigned char, kDigestBytes + 1> bytes{};
  const int length =
      EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(padded.data()),
                      static_cast<int>(padded.size()));
  if (length != static_cast<int>(bytes.size())) return "";
  std::string out(kSha256);
  constexpr std::string_view kHex = "0123456789abcdef";
  for (std::size_t i = 0; i < kDigestBytes; ++i) {
    out += kHex[bytes[i] >> 4];
    out += kHex[bytes[i] & 0xF];
  }
  return out;
}

// Cut so that its JSON form takes at most `room` bytes, at a character, with "..." where cut.
std::string shortened(const std::string& message, std::size_t room) {
  std::string valid = to_valid_utf8(message);
  const auto encoded_size = [](std::string_view text) {
    std::string quoted;
    append_json_string(quoted, text);
    return quoted.size() - 2;
  };
  if (encoded_size(valid) <= room) return valid;
  // Characters are added while they fit; the loop is bounded by the room.
  std::string kept;
  std::size_t used = 3;
  for (std::size_t at = 0; at < valid.size();) {
    std::size_t next = at + 1;
    while (next < valid.size() && (static_cast<unsigned char>(valid[next]) & 0xC0) == 0x80) ++next;
    const std::string_view character(valid.data() + at, next - at);
    const std::size_t cost = encoded_size(character);
    if (used + cost > room) break;
    kept += character;
    used += cost;
    at = next;
  }
  return kept + "...";
}

void write_failure(JsonWriter& out, const ReportFailure& failure, std::size_t room) {
  out.key("failure").begin_object();
  out.member("subject", to_string(failure.subject)).member("step", to_string(failure.step));
  if (failure.index >= 0) out.member("index", failure.index);
  out.member("kind", to_string(failure.kind));
  if (!failure.expected.empty()) out.member("expected", shortened(failure.expected, 80));
  if (!failure.found.empty()) out.member("found", shortened(failure.found, 80));
  out.member("message", shortened(failure.message, room)).end_object();
}

void read_failure(const Node& node, const std::string& path, std::string& error,
                  ReportFailure& out) {
  Fields fields(node, path, error);
  read_name(fields, kSubjects, "subject", out.subject);
  read_name(fields, kSteps, "step", out.step);
  fields.integer("index", out.index);
  std::string kind(to_string(out.kind));
  fields.text("kind", kind);
  const auto found = std::ranges::find(kKinds, kind, [](ErrorKind k) { return to_string(k); });
  if (found == kKinds.end()) {
    fields.fail("kind", "unknown value");
  } else {
    out.kind = *found;
  }
  fields.text("expected", out.expected).text("found", out.found).text("message", out.message);
  fields.finish();
}

// "<bytes>.<entries>.<digest>": numbers in base 36 and the digest in base64url without padding,
// because 64 assets whose digests nobody declared must fit (proven by a test). Trailing empty
// parts are left out.
void write_placed(JsonWriter& out, const Placed& placed, bool with_digest) {
  std::string text = to_base36(placed.bytes);
  const std::string digest = with_digest ? compact_digest(placed.digest) : "";
  if (placed.entries != 0 || !digest.empty()) text += "." + to_base36(placed.entries);
  if (!digest.empty()) text += "." + digest;
  out.string(text);
}

bool read_placed_text(std::string_view text, Placed& out) {
  const std::size_t first = text.find('.');
  if (!from_base36(text.substr(0, first), out.bytes)) return false;
  if (first == std::string_view::npos) return true;
  text.remove_prefix(first + 1);
  const std::size_t second = text.find('.');
  if (!from_base36(text.substr(0, second), out.entries)) return false;
  if (second == std::string_view::npos) return true;
  out.digest = full_digest(text.substr(second + 1));
  return !out.digest.empty();
}

void read_placed(const Node& node, const std::string& path, std::string& error, Placed& out) {
  const bool good = node.kind == Node::Kind::String && read_placed_text(node.text, out);
  if (!good && error.empty()) error = path + ": expected \"bytes.entries.digest\"";
}

// Writes the report twice if there is a failure: once to learn what room its message has.
template <typename Write>
std::string fit_message(const std::optional<ReportFailure>& failure, const Write& write) {
  if (!failure) return write(std::size_t{0});
  const std::size_t without_message = write(std::size_t{3}).size();
  const std::size_t room =
      without_message >= kMaxReportBytes ? 3 : 3 + (kMaxReportBytes - without_message);
  return write(std::min(room, kMaxMessageBytes));
}

std::unexpected<Error> bad_report(const std::string& error) {
  return failure(ErrorKind::InvalidInput, "agent report: " + error);
}

}  // namespace

std::string_view to_string(Subject subject) {
  return name_in(kSubjects, subject);
}
std::string_view to_string(Step step) {
  return name_in(kSteps, step);
}

std::string encode(const PrepareReport& report) {
  return fit_message(report.failure, [&](std::size_t room) {
    JsonWriter out;
    out.begin_object().member("v", kReportVersion).member("ms", report.milliseconds);
    if (report.environment) {
      out.key("environment");
      write_placed(out, *report.environment, true);
    }
    out.key("assets").begin_array();
    for (std::size_t i = 0; i < report.assets.size() && i < kMaxReportAssets; ++i) {
      // A failed run shows no assets in its status; the room is the message's.
      write_placed(out, report.assets[i], !report.failure);
    }
    out.end_array();
    if (report.failure) write_failure(out, *report.failure, room);
    out.end_object();
    return out.take();
  });
}

std::string encode(const CollectReport& report) {
  return fit_message(report.failure, [&](std::size_t room) {
    JsonWriter out;
    out.begin_object().member("v", kReportVersion).member("ms", report.milliseconds);
    if (!report.digest.empty()) out.member("digest", report.digest);
    out.member("bytes", report.bytes).member("entries", report.entries);
    out.member("stored", report.stored);
    if (report.failure) write_failure(out, *report.failure, room);
    out.end_object();
    return out.take();
  });
}

Result<PrepareReport> decode_prepare_report(std::string_view json) {
  auto node = parse_message(json, "agent report", kReportVersion, kMaxReportBytes);
  if (!node) return std::unexpected(node.error());
  PrepareReport report;
  std::string error;
  std::int64_t version = 0;
  Fields fields(*node, "", error);
  fields.integer("v", version).integer("ms", report.milliseconds);
  fields.with("environment", [&](const Node& inner, const std::string& at) {
    read_placed(inner, at, error, report.environment.emplace());
  });
  fields.each("assets", [&](const Node& inner, const std::string& at) {
    read_placed(inner, at, error, report.assets.emplace_back());
  });
  fields.with("failure", [&](const Node& inner, const std::string& at) {
    read_failure(inner, at, error, report.failure.emplace());
  });
  fields.finish();
  if (!error.empty()) return bad_report(error);
  return report;
}

Result<CollectReport> decode_collect_report(std::string_view json) {
  auto node = parse_message(json, "agent report", kReportVersion, kMaxReportBytes);
  if (!node) return std::unexpected(node.error());
  CollectReport report;
  std::string error;
  std::int64_t version = 0;
  Fields fields(*node, "", error);
  fields.integer("v", version).integer("ms", report.milliseconds).text("digest", report.digest);
  fields.integer("bytes", report.bytes).integer("entries", report.entries);
  fields.boolean("stored", report.stored);
  fields.with("failure", [&](const Node& inner, const std::string& at) {
    read_failure(inner, at, error, report.failure.emplace());
  });
  fields.finish();
  if (!error.empty()) return bad_report(error);
  return report;
}

}  // namespace sandboxrun::protocol
