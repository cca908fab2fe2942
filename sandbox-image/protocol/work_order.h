#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "operator/base/error.h"

/// What the operator or the launcher tells an agent: versioned JSON, described in
/// docs/reference/work-order.md. A work order never holds a secret; it names the files in which
/// secrets were mounted.
namespace sandboxrun::protocol {

inline constexpr int kWorkOrderVersion = 1;

/// One object over HTTP. Exactly one of `url` and `url_file` is set.
struct HttpLocation {
  std::string url;          ///< a URL without userinfo and signature
  std::string url_file;     ///< a file that holds the URL, when the URL is a secret
  std::string headers_dir;  ///< a folder with one file a header (name: file name), or empty
  std::string ca_file;      ///< PEM certificates to trust instead of the system's, or empty
  friend bool operator==(const HttpLocation&, const HttpLocation&) = default;
};

/// One object in an S3-compatible store.
struct S3Location {
  std::string endpoint;  ///< "https://host[:port]"; empty: Amazon's for the region
  std::string region;
  std::string bucket;
  std::string key;
  std::string version_id;       ///< empty: the current version
  std::string credentials_dir;  ///< files AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if the
                                ///< keys are temporary, AWS_SESSION_TOKEN; empty: unsigned
  std::string ca_file;
  friend bool operator==(const S3Location&, const S3Location&) = default;
};

/// A file that is already there: a mounted ConfigMap's key, or the launcher's local source.
struct FileLocation {
  std::string path;
  friend bool operator==(const FileLocation&, const FileLocation&) = default;
};

/// Text carried by the order itself.
struct InlineText {
  std::string text;
  friend bool operator==(const InlineText&, const InlineText&) = default;
};

using Source = std::variant<HttpLocation, S3Location, FileLocation, InlineText>;
using Target = std::variant<HttpLocation, S3Location, FileLocation>;

enum class ArchiveFormat { Auto, Tar, TarGzip, TarZstd, TarXz, PixiPack };
std::string_view to_string(ArchiveFormat format);
std::optional<ArchiveFormat> archive_format(std::string_view name);

/// How transfers may be made; decided by the administrator, never by a run.
struct TransferPolicy {
  std::vector<std::string> allow;  ///< "CIDR[:port]" exceptions to the refused address ranges
  bool allow_http = false;
  int max_attempts = 5;
  int connect_timeout_seconds = 30;
  int timeout_seconds = 1800;  ///< for one whole transfer, all attempts together
  std::int64_t max_bytes = std::int64_t{64} << 30;
  friend bool operator==(const TransferPolicy&, const TransferPolicy&) = default;
};

/// What an archive may hold at most.
struct ArchiveLimits {
  std::int64_t max_bytes = std::int64_t{64} << 30;  ///< of file content, unpacked
  std::int64_t max_entries = 4'000'000;
  int max_depth = 64;
  friend bool operator==(const ArchiveLimits&, const ArchiveLimits&) = default;
};

struct EnvironmentOrder {
  Source source;
  std::string digest;  ///< "sha256:<64 lower-case hex>"
  ArchiveFormat format = ArchiveFormat::Auto;
  std::string destination;  ///< absolute; must be an empty folder
  ArchiveLimits limits;
  friend bool operator==(const EnvironmentOrder&, const EnvironmentOrder&) = default;
};

struct AssetOrder {
  std::string name;
  Source source;
  std::string destination;  ///< absolute path at which prepare writes it
  std::string digest;       ///< empty: none was declared
  bool unpack = false;
  bool read_only = true;
  std::uint32_t mode = 0444;  ///< permission bits of a file asset
  ArchiveLimits limits;
  friend bool operator==(const AssetOrder&, const AssetOrder&) = default;
};

/// A folder that prepare makes so that the run owns the way to a nested target.
struct DirectoryOrder {
  std::string path;
  std::uint32_t mode = 0777;
  friend bool operator==(const DirectoryOrder&, const DirectoryOrder&) = default;
};

struct PrepareOrder {
  TransferPolicy transfer;
  std::vector<DirectoryOrder> directories;
  std::optional<EnvironmentOrder> environment;
  std::vector<AssetOrder> assets;
  std::string pixi_unpack;  ///< absolute path of the unpacker for PixiPack, or empty
  friend bool operator==(const PrepareOrder&, const PrepareOrder&) = default;
};

struct CollectOrder {
  TransferPolicy transfer;
  std::string path;  ///< the results folder
  ArchiveFormat format = ArchiveFormat::TarGzip;
  std::int64_t max_bytes = std::int64_t{1} << 30;
  std::int64_t max_entries = 100'000;
  int timeout_seconds = 300;
  std::optional<Target> target;  ///< nothing: results are archived and hashed, not sent
  friend bool operator==(const CollectOrder&, const CollectOrder&) = default;
};

std::string encode(const PrepareOrder& order);
std::string encode(const CollectOrder& order);

/// Errors: InvalidInput with the field's path; a version that this agent does not know.
Result<PrepareOrder> decode_prepare_order(std::string_view json);
Result<CollectOrder> decode_collect_order(std::string_view json);

}  // namespace sandboxrun::protocol
