#include <algorithm>
#include <limits>
#include <utility>

#include "operator/run/status.h"

namespace sandboxrun::run {
namespace {

// Reads members of one map. The first wrong one is kept in `error`; unknown ones are ignored.
class Members {
 public:
  Members(const Node& node, std::string path, std::string& error)
      : node_(node), path_(std::move(path)), error_(error) {
    if (node.kind != Node::Kind::Map) fail(path_, "a map", node);
  }

  const Node* find(std::string_view name) const {
    const Node* node = node_.find(name);
    return node == nullptr || node->kind == Node::Kind::Null ? nullptr : node;
  }
  std::string path_of(std::string_view name) const { return path_ + "." + std::string(name); }

  std::string text(std::string_view name) {
    const Node* node = find(name);
    if (node == nullptr) return {};
    if (node->kind != Node::Kind::String) fail(path_of(name), "a string", *node);
    return node->text;
  }

  std::optional<std::int64_t> number(std::string_view name) {
    const Node* node = find(name);
    if (node == nullptr) return std::nullopt;
    if (node->kind != Node::Kind::Int) {
      fail(path_of(name), "an integer", *node);
      return std::nullopt;
    }
    return node->integer;
  }

  std::optional<int> small_number(std::string_view name) {
    const auto value = number(name);
    if (!value) return std::nullopt;
    if (!std::in_range<int>(*value)) {
      fail(path_of(name), "a small integer", *find(name));
      return std::nullopt;
    }
    return static_cast<int>(*value);
  }

  bool boolean(std::string_view name) {
    const Node* node = find(name);
    if (node == nullptr) return false;
    if (node->kind != Node::Kind::Bool) fail(path_of(name), "true or false", *node);
    return node->boolean;
  }

  std::optional<TimePoint> time(std::string_view name) {
    const Node* node = find(name);
    if (node == nullptr) return std::nullopt;
    const auto value = parse_time(node->text);
    if (!value) fail(path_of(name), "a time in RFC 3339", *node);
    return value;
  }

  template <typename Read>
  void each(std::string_view name, Read read) {
    const Node* node = find(name);
    if (node == nullptr) return;
    if (node->kind != Node::Kind::List) fail(path_of(name), "a list", *node);
    for (std::size_t i = 0; i < node->items.size(); ++i) {
      Members item(node->items[i], path_of(name) + "[" + std::to_string(i) + "]", error_);
      read(item);
    }
  }

  template <typename Read>
  void in(std::string_view name, Read read) {
    const Node* node = find(name);
    if (node == nullptr) return;
    Members inner(*node, path_of(name), error_);
    read(inner);
  }

  void fail(const std::string& path, std::string_view wanted, const Node& found) {
    if (error_.empty()) {
      error_ = path + ": expected " + std::string(wanted) + ", found " +
               std::string(describe(found.kind));
    }
  }

 private:
  const Node& node_;
  std::string path_;
  std::string& error_;
};

void read_condition(Members& from, Status& status) {
  const std::string type = from.text("type");
  const std::string value = from.text("status");
  for (int i = 0; i < kConditionCount; ++i) {
    const auto known = static_cast<ConditionType>(i);
    if (to_string(known) != type) continue;
    status.conditions.push_back(
        {.type = known,
         .status = value == "True"    ? ConditionStatus::True
                   : value == "False" ? ConditionStatus::False
                                      : ConditionStatus::Unknown,
         .reason = from.text("reason"),
         .message = from.text("message"),
         .last_transition = from.time("lastTransitionTime").value_or(TimePoint{}),
         .observed_generation = from.number("observedGeneration").value_or(0)});
  }
}

void read_environment(Members& from, Status& status) {
  from.in("image", [&](Members& image) {
    status.image =
        ImageStatus{.reference = image.text("reference"), .image_id = image.text("imageID")};
  });
  from.in("archive", [&](Members& archive) {
    status.archive = ArchiveStatus{.digest = archive.text("digest"),
                                   .bytes = archive.number("bytes").value_or(0),
                                   .entries = archive.number("entries").value_or(0)};
  });
}

void read_results(Members& from, Status& status) {
  status.results = ResultsStatus{.digest = from.text("digest"),
                                 .bytes = from.number("bytes").value_or(0),
                                 .entries = from.number("entries").value_or(0),
                                 .stored = from.boolean("stored")};
}

void read_run(Members& from, Status& status) {
  status.run = RunResult{.exit_code = from.small_number("exitCode"),
                         .signal = from.small_number("signal"),
                         .message = from.text("message"),
                         .start = from.time("startTime"),
                         .finish = from.time("finishTime")};
}

void read_timings(Members& from, Timings& timings) {
  timings = {.waiting_seconds = from.number("waitingSeconds"),
             .run_seconds = from.number("runSeconds"),
             .total_seconds = from.number("totalSeconds"),
             .prepare_milliseconds = from.number("prepareMilliseconds"),
             .run_milliseconds = from.number("runMilliseconds"),
             .collect_milliseconds = from.number("collectMilliseconds")};
}

void read_attempt(Members& from, Status& status) {
  status.attempts.push_back({.pod_name = from.text("podName"),
                             .pod_uid = from.text("podUID"),
                             .node_name = from.text("nodeName"),
                             .reason = parse_reason(from.text("reason")),
                             .exit_code = from.small_number("exitCode"),
                             .start = from.time("startTime"),
                             .finish = from.time("finishTime")});
}

}  // namespace

Result<Status> decode_status(const Node& node) {
  std::string error;
  Status status;
  Members from(node, "status", error);
  status.observed_generation = from.number("observedGeneration").value_or(0);
  from.each("conditions", [&](Members& item) { read_condition(item, status); });
  std::ranges::stable_sort(status.conditions, {}, &Condition::type);
  from.in("run", [&](Members& inner) { read_run(inner, status); });
  from.in("environment", [&](Members& inner) { read_environment(inner, status); });
  from.each("assets", [&](Members& item) {
    status.assets.push_back({.name = item.text("name"),
                             .digest = item.text("digest"),
                             .bytes = item.number("bytes").value_or(0)});
  });
  from.in("results", [&](Members& inner) { read_results(inner, status); });
  status.duration = from.text("duration");
  from.in("timings", [&](Members& inner) { read_timings(inner, status.timings); });
  from.each("attempts", [&](Members& item) { read_attempt(item, status); });
  if (!error.empty()) return failure(ErrorKind::InvalidInput, error);
  return status;
}

}  // namespace sandboxrun::run
