#include "sandbox-image/protocol/work_order.h"

#include <array>

#include "operator/base/json_writer.h"
#include "sandbox-image/protocol/fields.h"

namespace sandboxrun::protocol {
namespace {

constexpr std::size_t kMaxOrderBytes = 256 * 1024;

constexpr std::array kFormats = {
    std::pair{ArchiveFormat::Auto, std::string_view("Auto")},
    std::pair{ArchiveFormat::Tar, std::string_view("Tar")},
    std::pair{ArchiveFormat::TarGzip, std::string_view("TarGzip")},
    std::pair{ArchiveFormat::TarZstd, std::string_view("TarZstd")},
    std::pair{ArchiveFormat::TarXz, std::string_view("TarXz")},
    std::pair{ArchiveFormat::PixiPack, std::string_view("PixiPack")},
};

// Empty strings are left out: absent and empty mean the same in every location.
void write_text(JsonWriter& out, std::string_view name, const std::string& value) {
  if (!value.empty()) out.member(name, value);
}

void write_location(JsonWriter& out, const HttpLocation& location) {
  out.key("http").begin_object();
  write_text(out, "url", location.url);
  write_text(out, "urlFile", location.url_file);
  write_text(out, "headersDir", location.headers_dir);
  write_text(out, "caFile", location.ca_file);
  out.end_object();
}

void write_location(JsonWriter& out, const S3Location& location) {
  out.key("s3").begin_object();
  write_text(out, "endpoint", location.endpoint);
  write_text(out, "region", location.region);
  write_text(out, "bucket", location.bucket);
  write_text(out, "key", location.key);
  write_text(out, "versionId", location.version_id);
  write_text(out, "credentialsDir", location.credentials_dir);
  write_text(out, "caFile", location.ca_file);
  out.end_object();
}

void write_location(JsonWriter& out, const FileLocation& location) {
  out.key("file").begin_object().member("path", location.path).end_object();
}

void write_location(JsonWriter& out, const InlineText& location) {
  out.key("inline").begin_object().member("text", location.text).end_object();
}

template <typename Variant>
void write_variant(JsonWriter& out, std::string_view name, const Variant& location) {
  out.key(name).begin_object();
  std::visit([&](const auto& one) { write_location(out, one); }, location);
  out.end_object();
}

void write_transfer(JsonWriter& out, const TransferPolicy& policy) {
  out.key("transfer").begin_object().key("allow").begin_array();
  for (const std::string& range : policy.allow) out.string(range);
  out.end_array()
      .member("allowHttp", policy.allow_http)
      .member("maxAttempts", policy.max_attempts)
      .member("connectTimeoutSeconds", policy.connect_timeout_seconds)
      .member("timeoutSeconds", policy.timeout_seconds)
      .member("maxBytes", policy.max_bytes)
      .end_object();
}

void write_limits(JsonWriter& out, const ArchiveLimits& limits) {
  out.key("limits")
      .begin_object()
      .member("maxBytes", limits.max_bytes)
      .member("maxEntries", limits.max_entries)
      .member("maxDepth", limits.max_depth)
      .end_object();
}

void read_http(const Node& node, const std::string& path, std::string& error, HttpLocation& out) {
  Fields fields(node, path, error);
  fields.text("url", out.url).text("urlFile", out.url_file);
  fields.text("headersDir", out.headers_dir).text("caFile", out.ca_file).finish();
  if (out.url.empty() == out.url_file.empty())
    fields.fail("url", "give exactly one of url, urlFile");
}

void read_s3(const Node& node, const std::string& path, std::string& error, S3Location& out) {
  Fields fields(node, path, error);
  fields.text("endpoint", out.endpoint).text("region", out.region).text("bucket", out.bucket);
  fields.text("key", out.key).text("versionId", out.version_id);
  fields.text("credentialsDir", out.credentials_dir).text("caFile", out.ca_file).finish();
}

// Reads {"http": {...}}, {"s3": {...}}, {"file": {...}} or {"inline": {...}}: exactly one.
template <typename Variant>
void read_variant(const Node& node, const std::string& path, std::string& error, Variant& out) {
  Fields fields(node, path, error);
  int found = 0;
  fields.with("http", [&](const Node& inner, const std::string& at) {
    HttpLocation location;
    read_http(inner, at, error, location);
    out = std::move(location);
    ++found;
  });
  fields.with("s3", [&](const Node& inner, const std::string& at) {
    S3Location location;
    read_s3(inner, at, error, location);
    out = std::move(location);
    ++found;
  });
  fields.with("file", [&](const Node& inner, const std::string& at) {
    FileLocation location;
    Fields(inner, at, error).text("path", location.path).finish();
    out = std::move(location);
    ++found;
  });
  if constexpr (std::is_same_v<Variant, Source>) {
    fields.with("inline", [&](const Node& inner, const std::string& at) {
      InlineText location;
      Fields(inner, at, error).text("text", location.text).finish();
      out = std::move(location);
      ++found;
    });
  }
  fields.finish();
  if (found != 1 && error.empty()) error = path + ": give exactly one kind of location";
}

void read_transfer(const Node& node, const std::string& path, std::string& error,
                   TransferPolicy& out) {
  Fields fields(node, path, error);
  fields.texts("allow", out.allow).boolean("allowHttp", out.allow_http);
  fields.integer("maxAttempts", out.max_attempts);
  fields.integer("connectTimeoutSeconds", out.connect_timeout_seconds);
  fields.integer("timeoutSeconds", out.timeout_seconds).integer("maxBytes", out.max_bytes);
  fields.finish();
}

void read_limits(const Node& node, const std::string& path, std::string& error,
                 ArchiveLimits& out) {
  Fields fields(node, path, error);
  fields.integer("maxBytes", out.max_bytes).integer("maxEntries", out.max_entries);
  fields.integer("maxDepth", out.max_depth).finish();
}

void read_format(Fields& fields, std::string_view name, ArchiveFormat& out) {
  std::string text(to_string(out));
  fields.text(name, text);
  if (auto format = archive_format(text)) {
    out = *format;
  } else {
    fields.fail(name, "unknown format");
  }
}

void read_environment(const Node& node, const std::string& path, std::string& error,
                      EnvironmentOrder& out) {
  Fields fields(node, path, error);
  fields.with("source", [&](const Node& inner, const std::string& at) {
    read_variant(inner, at, error, out.source);
  });
  fields.text("digest", out.digest).text("destination", out.destination);
  read_format(fields, "format", out.format);
  fields.with("limits", [&](const Node& inner, const std::string& at) {
    read_limits(inner, at, error, out.limits);
  });
  fields.finish();
  if (out.digest.empty()) fields.fail("digest", "required");
}

void read_asset(const Node& node, const std::string& path, std::string& error, AssetOrder& out) {
  Fields fields(node, path, error);
  fields.text("name", out.name);
  fields.with("source", [&](const Node& inner, const std::string& at) {
    read_variant(inner, at, error, out.source);
  });
  fields.text("destination", out.destination).text("digest", out.digest);
  fields.boolean("unpack", out.unpack).boolean("readOnly", out.read_only).mode("mode", out.mode);
  fields.with("limits", [&](const Node& inner, const std::string& at) {
    read_limits(inner, at, error, out.limits);
  });
  fields.finish();
}

std::unexpected<Error> bad_order(std::string_view which, const std::string& error) {
  return failure(ErrorKind::InvalidInput, std::string(which) + ": " + error);
}

}  // namespace

std::string_view to_string(ArchiveFormat format) {
  for (const auto& [value, name] : kFormats) {
    if (value == format) return name;
  }
  return "Auto";
}

std::optional<ArchiveFormat> archive_format(std::string_view name) {
  for (const auto& [value, known] : kFormats) {
    if (known == name) return value;
  }
  return std::nullopt;
}

std::string encode(const PrepareOrder& order) {
  JsonWriter out;
  out.begin_object().member("v", kWorkOrderVersion);
  write_transfer(out, order.transfer);
  write_text(out, "pixiUnpack", order.pixi_unpack);
  out.key("directories").begin_array();
  for (const DirectoryOrder& directory : order.directories) {
    out.begin_object().member("path", directory.path).member("mode", std::int64_t{directory.mode});
    out.end_object();
  }
  out.end_array();
  if (order.environment) {
    const EnvironmentOrder& environment = *order.environment;
    out.key("environment").begin_object();
    write_variant(out, "source", environment.source);
    out.member("digest", environment.digest).member("format", to_string(environment.format));
    out.member("destination", environment.destination);
    write_limits(out, environment.limits);
    out.end_object();
  }
  out.key("assets").begin_array();
  for (const AssetOrder& asset : order.assets) {
    out.begin_object().member("name", asset.name);
    write_variant(out, "source", asset.source);
    out.member("destination", asset.destination);
    write_text(out, "digest", asset.digest);
    out.member("unpack", asset.unpack).member("readOnly", asset.read_only);
    out.member("mode", std::int64_t{asset.mode});
    write_limits(out, asset.limits);
    out.end_object();
  }
  out.end_array().end_object();
  return out.take();
}

std::string encode(const CollectOrder& order) {
  JsonWriter out;
  out.begin_object().member("v", kWorkOrderVersion);
  write_transfer(out, order.transfer);
  out.member("path", order.path).member("format", to_string(order.format));
  out.member("maxBytes", order.max_bytes).member("maxEntries", order.max_entries);
  out.member("timeoutSeconds", order.timeout_seconds);
  if (order.target) write_variant(out, "target", *order.target);
  out.end_object();
  return out.take();
}

Result<PrepareOrder> decode_prepare_order(std::string_view json) {
  constexpr std::string_view kWhat = "prepare order";
  auto node = parse_message(json, kWhat, kWorkOrderVersion, kMaxOrderBytes);
  if (!node) return std::unexpected(node.error());
  PrepareOrder order;
  std::string error;
  std::int64_t version = 0;
  Fields fields(*node, "", error);
  fields.integer("v", version).text("pixiUnpack", order.pixi_unpack);
  fields.with("transfer", [&](const Node& inner, const std::string& at) {
    read_transfer(inner, at, error, order.transfer);
  });
  fields.each("directories", [&](const Node& inner, const std::string& at) {
    DirectoryOrder& directory = order.directories.emplace_back();
    Fields(inner, at, error).text("path", directory.path).mode("mode", directory.mode).finish();
  });
  fields.with("environment", [&](const Node& inner, const std::string& at) {
    read_environment(inner, at, error, order.environment.emplace());
  });
  fields.each("assets", [&](const Node& inner, const std::string& at) {
    read_asset(inner, at, error, order.assets.emplace_back());
  });
  fields.finish();
  if (!error.empty()) return bad_order(kWhat, error);
  return order;
}

Result<CollectOrder> decode_collect_order(std::string_view json) {
  constexpr std::string_view kWhat = "collect order";
  auto node = parse_message(json, kWhat, kWorkOrderVersion, kMaxOrderBytes);
  if (!node) return std::unexpected(node.error());
  CollectOrder order;
  std::string error;
  std::int64_t version = 0;
  Fields fields(*node, "", error);
  fields.integer("v", version).text("path", order.path);
  read_format(fields, "format", order.format);
  fields.integer("maxBytes", order.max_bytes).integer("maxEntries", order.max_entries);
  fields.integer("timeoutSeconds", order.timeout_seconds);
  fields.with("transfer", [&](const Node& inner, const std::string& at) {
    read_transfer(inner, at, error, order.transfer);
  });
  fields.with("target", [&](const Node& inner, const std::string& at) {
    read_variant(inner, at, error, order.target.emplace());
  });
  fields.finish();
  if (!error.empty()) return bad_order(kWhat, error);
  return order;
}

}  // namespace sandboxrun::protocol
