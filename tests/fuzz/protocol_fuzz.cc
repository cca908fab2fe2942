// Feeds bytes to the decoders of work orders, reports and the guard's record. What is accepted is
// encoded as something that is accepted again and means the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sandbox-image/protocol/guard_record.h"
#include "sandbox-image/protocol/report.h"
#include "sandbox-image/protocol/work_order.h"

namespace {

namespace protocol = sandboxrun::protocol;

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(protocol::decode_guard_record(text));
  if (const auto order = protocol::decode_prepare_order(text)) {
    require(protocol::decode_prepare_order(protocol::encode(*order)) == order);
  }
  if (const auto order = protocol::decode_collect_order(text)) {
    require(protocol::decode_collect_order(protocol::encode(*order)) == order);
  }
  // A long message may be cut, so what a report says comes back only after a second time.
  if (const auto report = protocol::decode_prepare_report(text);
      report && report->assets.size() <= 64) {
    const std::string kept = protocol::encode(*report);
    require(kept.size() <= protocol::kMaxReportBytes);
    const auto again = protocol::decode_prepare_report(kept);
    require(again && protocol::encode(*again) == kept);
  }
  if (const auto report = protocol::decode_collect_report(text)) {
    const std::string kept = protocol::encode(*report);
    require(kept.size() <= protocol::kMaxReportBytes);
    const auto again = protocol::decode_collect_report(kept);
    require(again && protocol::encode(*again) == kept);
  }
  return 0;
}
