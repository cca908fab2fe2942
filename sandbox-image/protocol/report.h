#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/error.h"

/// What an agent leaves in its termination message: versioned JSON, at most 4096 bytes (the
/// kubelet keeps no more), described in docs/reference/report.md.
namespace sandboxrun::protocol {

inline constexpr int kReportVersion = 1;
inline constexpr std::size_t kMaxReportBytes = 4096;

/// What the failure concerns.
enum class Subject { Order, Environment, Asset, Results };
std::string_view to_string(Subject subject);

/// What was being done when it failed.
enum class Step { Read, Fetch, Verify, Unpack, Place, Archive, Upload };
std::string_view to_string(Step step);

struct ReportFailure {
  Subject subject = Subject::Order;
  int index = -1;  ///< of the asset, for Subject::Asset
  Step step = Step::Read;
  ErrorKind kind = ErrorKind::Internal;
  std::string message;   ///< shortened to fit
  std::string expected;  ///< digest, for DigestMismatch
  std::string found;
  friend bool operator==(const ReportFailure&, const ReportFailure&) = default;
};

/// One thing that was fetched and placed. An asset's digest is given only where none was
/// declared, so that 64 assets fit.
struct Placed {
  std::string digest;
  std::int64_t bytes = 0;
  std::int64_t entries = 0;  ///< of an unpacked archive, else 0
  friend bool operator==(const Placed&, const Placed&) = default;
};

struct PrepareReport {
  std::optional<ReportFailure> failure;
  std::optional<Placed> environment;
  std::vector<Placed> assets;  ///< by index, as far as placement came
  std::int64_t milliseconds = 0;
  friend bool operator==(const PrepareReport&, const PrepareReport&) = default;
};

struct CollectReport {
  std::optional<ReportFailure> failure;
  std::string digest;  ///< of the archive as sent
  std::int64_t bytes = 0;
  std::int64_t entries = 0;
  bool stored = false;
  std::int64_t milliseconds = 0;
  friend bool operator==(const CollectReport&, const CollectReport&) = default;
};

/// Guarantees: at most kMaxReportBytes for any report of up to 64 assets; long messages are cut
/// at a character and end in "...".
std::string encode(const PrepareReport& report);
std::string encode(const CollectReport& report);

/// Errors: InvalidInput. A report that cannot be read is a failure, never a success.
Result<PrepareReport> decode_prepare_report(std::string_view json);
Result<CollectReport> decode_collect_report(std::string_view json);

}  // namespace sandboxrun::protocol
