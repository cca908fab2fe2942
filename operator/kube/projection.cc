#include "operator/kube/projection.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <expected>
#include <utility>

#include "operator/kube/list_scanner.h"

namespace sandboxrun::kube {
namespace {

namespace sj = simdjson;
static_assert(kJsonPadding >= sj::SIMDJSON_PADDING);

// Set when something is not as it must be; the first one counts.
using Problem = std::string;

// A string, or "" for null; anything else is a problem.
void read_string(sj::ondemand::value value, std::string& out, std::string_view field,
                 Problem& problem) {
  std::string_view text;
  bool null = false;
  if (auto error = value.get_string().get(text)) {
    if (!value.is_null().get(null) && null) return;
    if (problem.empty()) {
      problem = std::string(field) + " is not a string: " + sj::error_message(error);
    }
    return;
  }
  out.assign(text);
}

// The uid of the owner that is the controller.
void read_owners(sj::ondemand::value value, std::string& owner_uid, Problem& problem) {
  sj::ondemand::array owners;
  if (value.get_array().get(owners)) return;  // null
  for (auto element : owners) {
    sj::ondemand::object owner;
    if (element.get_object().get(owner)) {
      problem = "metadata.ownerReferences holds something that is not an object";
      return;
    }
    std::string uid;
    bool controller = false;
    for (auto field : owner) {
      std::string_view key;
      sj::ondemand::value member;
      if (field.unescaped_key().get(key) || field.value().get(member)) break;
      if (key == "uid") {
        read_string(member, uid, "metadata.ownerReferences.uid", problem);
      } else if (key == "controller" && member.get_bool().get(controller)) {
        controller = false;
      }
    }
    if (controller) owner_uid = std::move(uid);
  }
}

void read_annotations(sj::ondemand::value value, bool& initial_events_end) {
  sj::ondemand::object annotations;
  if (value.get_object().get(annotations)) return;
  for (auto field : annotations) {
    std::string_view key;
    if (field.unescaped_key().get(key)) return;
    std::string_view text;
    if (key == "k8s.io/initial-events-end" && !field.value().get_string().get(text)) {
      initial_events_end = text == "true";
    }
  }
}

void read_metadata_fields(sj::ondemand::object metadata, ObjectMeta& meta, bool& initial_events_end,
                          Problem& problem) {
  for (auto field : metadata) {
    std::string_view key;
    sj::ondemand::value value;
    if (field.unescaped_key().get(key) || field.value().get(value)) {
      problem = "metadata is not valid JSON";
      return;
    }
    if (key == "name") {
      read_string(value, meta.name.name, "metadata.name", problem);
    } else if (key == "namespace") {
      read_string(value, meta.name.namespace_name, "metadata.namespace", problem);
    } else if (key == "uid") {
      read_string(value, meta.uid, "metadata.uid", problem);
    } else if (key == "resourceVersion") {
      read_string(value, meta.resource_version, "metadata.resourceVersion", problem);
    } else if (key == "ownerReferences") {
      read_owners(value, meta.owner_uid, problem);
    } else if (key == "annotations") {
      read_annotations(value, initial_events_end);
    }
  }
}

// Which fields of metadata are read. managedFields alone is often most of an object, so the
// others are cut out before they are parsed.
bool is_wanted(std::string_view field) {
  constexpr std::array<std::string_view, 6> kWanted{
      "name", "namespace", "uid", "resourceVersion", "ownerReferences", "annotations"};
  return std::ranges::find(kWanted, field) != kWanted.end();
}

// The wanted fields of an object's metadata, as an object of its own.
std::expected<std::string, Problem> cut_metadata(std::string_view json) {
  std::string_view metadata;
  auto problem = scan_members(json, [&](std::string_view name, std::string_view value) {
    if (name == "metadata") metadata = value;
  });
  if (problem) return std::unexpected(std::move(*problem));
  if (metadata.empty()) return std::unexpected("it has no metadata");
  if (!metadata.starts_with('{')) return std::unexpected("metadata is not an object");
  std::string cut;
  problem = scan_members(metadata, [&](std::string_view name, std::string_view value) {
    if (!is_wanted(name)) return;
    cut.append(cut.empty() ? "{\"" : ",\"").append(name).append("\":").append(value);
  });
  if (problem) return std::unexpected("metadata: " + *problem);
  return cut.empty() ? "{}" : cut + "}";
}

Error malformed(std::string message) {
  Error error;
  error.kind = ErrorKind::Malformed;
  error.message = std::move(message);
  return error;
}

}  // namespace

struct WatchReader::Reading {
  ObjectMeta meta;
  bool initial_events_end = false;
};

struct WatchReader::Parts {
  sj::ondemand::parser parser;
  std::string buffer;
  ListSplitter list;
  std::size_t list_items = 0;
};

WatchReader::WatchReader() : parts_(std::make_unique<Parts>()) {}
WatchReader::WatchReader(WatchReader&&) noexcept = default;
WatchReader& WatchReader::operator=(WatchReader&&) noexcept = default;
WatchReader::~WatchReader() = default;

// Says what is wrong, or nothing.
std::string WatchReader::read_metadata(std::string_view object, Reading& reading) {
  const auto cut = cut_metadata(object);
  if (!cut) return cut.error();
  const std::string_view json = padded(*cut);
  sj::ondemand::document document;
  sj::ondemand::object metadata;
  if (auto error = parts_->parser.iterate(json, json.size() + kJsonPadding).get(document)) {
    return std::string("not valid JSON: ") + sj::error_message(error);
  }
  if (document.get_object().get(metadata)) return "metadata is not an object";
  Problem problem;
  read_metadata_fields(metadata, reading.meta, reading.initial_events_end, problem);
  return problem;
}

std::string_view WatchReader::padded(std::string_view text) {
  std::string& buffer = parts_->buffer;
  buffer.reserve(text.size() + kJsonPadding);
  buffer.assign(text);
  buffer.append(kJsonPadding, '\0');
  return std::string_view(buffer).substr(0, text.size());
}

Input WatchReader::read_event(std::string_view line) {
  const auto parts = scan_event(line);
  if (!parts) return Unreadable{parts.error()};
  if (parts->type == "ERROR") {
    return WatchError{error_from_status("watch", parts->object)};
  }
  Reading reading;
  if (auto problem = read_metadata(parts->object, reading); !problem.empty()) {
    return Unreadable{"the object of an event of type " + std::string(parts->type) + ": " +
                      problem};
  }
  if (parts->type == "BOOKMARK") {
    return Bookmark{std::move(reading.meta.resource_version), reading.initial_events_end};
  }
  WatchItem event{.item = {std::move(reading.meta), parts->object}};
  if (event.item.meta.name.name.empty()) return Unreadable{"an object without metadata.name"};
  if (parts->type == "ADDED") {
    event.type = WatchItem::Type::Added;
  } else if (parts->type == "MODIFIED") {
    event.type = WatchItem::Type::Modified;
  } else if (parts->type == "DELETED") {
    event.type = WatchItem::Type::Deleted;
  } else {
    return Unreadable{"the type of an event is none of those of Kubernetes"};
  }
  return event;
}

Result<void> WatchReader::read_list(std::string_view piece, const ListSink& sink) {
  const auto problem = parts_->list.push(piece, [&](std::string_view json) {
    const std::size_t number = parts_->list_items++;
    Reading reading;
    auto why = read_metadata(json, reading);
    if (why.empty() && reading.meta.name.name.empty()) why = "it has no metadata.name";
    if (why.empty()) return sink.item({std::move(reading.meta), json});
    sink.skipped("item " + std::to_string(number) + " of the list: " + why);
  });
  if (problem) return std::unexpected(malformed("The list cannot be read: " + *problem));
  return {};
}

Result<ListPage> WatchReader::end_list() {
  parts_->list_items = 0;
  auto head = std::exchange(parts_->list, {}).finish();
  if (!head) return std::unexpected(malformed("The list cannot be read: " + head.error()));
  return ListPage{.resource_version = std::move(head->resource_version),
                  .continue_token = std::move(head->continue_token),
                  .items = {}};
}

}  // namespace sandboxrun::kube
