#include "operator/cli/manifest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "operator/base/document.h"
#include "operator/base/fd.h"
#include "operator/cli/text.h"
#include "operator/run/manifest.h"

namespace sandboxrun::cli {
namespace {

constexpr std::size_t kMaxBytes = DocumentLimits{}.max_bytes;

std::unexpected<Error> cannot_read(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return failure(ErrorKind::NotFound,
                     "there is no such file; name a manifest, or - to read standard input");
    case EISDIR:
      return failure(ErrorKind::InvalidInput, "this is a folder; name a manifest in it");
    case EACCES:
      return failure(ErrorKind::System, "you may not read this file; ask its owner");
    default:
      return system_failure("it cannot be read", error_number);
  }
}

Result<std::string> read_all(int fd) {
  std::string text;
  std::string buffer(std::size_t{64} * 1024, '\0');
  while (true) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got == 0) return text;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return cannot_read(errno);
    text.append(buffer, 0, static_cast<std::size_t>(got));
    if (text.size() > kMaxBytes) {
      return failure(ErrorKind::LimitExceeded,
                     fmt::format("it is larger than {} KiB, which no manifest can be; data belong "
                                 "into assets",
                                 kMaxBytes / 1024));
    }
  }
}

}  // namespace

Result<std::string> read_manifest(const std::string& path) {
  if (path == "-") return read_all(STDIN_FILENO);
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file) return cannot_read(errno);
  return read_all(file.get());
}

Manifest load_manifest(const std::string& path, const run::Policy& policy, run::Where where) {
  Manifest manifest{.name = path == "-" ? "<stdin>" : one_line(path)};
  auto text = read_manifest(path);
  if (!text) {
    manifest.errors.push_back({.message = text.error().message});
    return manifest;
  }
  manifest.text = std::move(*text);
  run::CheckedManifest checked = run::check_manifest(manifest.text, policy, where);
  manifest.run = std::move(checked.run);
  manifest.errors = std::move(checked.errors);
  return manifest;
}

std::string describe_errors(const Manifest& manifest) {
  std::string lines;
  for (const run::FieldError& error : manifest.errors) {
    const bool placed = error.mark.line > 0;
    lines += manifest.name + (placed ? ":" : "  ") + one_line(run::format(error)) + "\n";
  }
  return lines;
}

}  // namespace sandboxrun::cli
