#include "sandbox-image/agent/credentials.h"

#include <dirent.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string>

#include "sandbox-image/agent/local_file.h"

namespace sandboxrun::agent {
namespace {

constexpr std::size_t kMaxSecretBytes = std::size_t{16} * 1024;
constexpr std::size_t kMaxHeaders = 64;

// Who sets these decides where a message ends or where a connection goes: that is our part.
constexpr std::array kOwnHeaders = std::to_array<std::string_view>(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer",
     "upgrade", "expect", "proxy-connection", "proxy-authorization", "proxy-authenticate", "range",
     "http2-settings"});

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

/// RFC 9110 5.6.2.
bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$%&'*+-.^_`|~").contains(c);
  });
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

Result<Secret> read_header_value(const std::string& path, const std::string& name) {
  const std::string what = "header " + name;
  auto content = read_secret_file(path, what, kMaxSecretBytes);
  if (!content) return content;
  std::string_view value = content->reveal();
  if (value.ends_with('\n')) value.remove_suffix(1);
  if (value.ends_with('\r')) value.remove_suffix(1);
  if (value.empty()) return failure(ErrorKind::InvalidInput, what + " is empty");
  if (has_control(value)) {
    return failure(ErrorKind::InvalidInput, what + " holds a control character");
  }
  return Secret(std::string(value));
}

Result<Secret> read_key(const std::string& folder, const std::string& name) {
  const std::string what = "S3 credential " + name;
  auto content = read_secret_file(folder + "/" + name, what, kMaxSecretBytes);
  if (!content) return content;
  const std::string_view value = trimmed(content->reveal());
  const bool printable = std::ranges::all_of(value, [](char c) { return c > 0x20 && c < 0x7f; });
  if (value.empty()) return failure(ErrorKind::InvalidInput, what + " is empty");
  if (!printable) {
    return failure(ErrorKind::InvalidInput, what + " holds a space or a control character");
  }
  return Secret(std::string(value));
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

Result<std::vector<std::string>> names_in(const std::string& folder) {
  const std::unique_ptr<DIR, CloseDir> dir(::opendir(folder.c_str()));
  if (!dir && errno == ENOENT) {
    return failure(ErrorKind::NotFound, "the folder of headers does not exist");
  }
  if (!dir) return system_failure("the folder of headers", errno);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    if (names.size() > kMaxHeaders) {
      return failure(ErrorKind::InvalidInput, "there are more than 64 headers");
    }
    errno = 0;
  }
  if (errno != 0) return system_failure("the folder of headers", errno);
  std::ranges::sort(names);
  return names;
}

}  // namespace

Result<std::vector<HttpHeader>> read_headers(const std::string& folder) {
  auto names = names_in(folder);
  if (!names) return std::unexpected(names.error());
  std::vector<HttpHeader> headers;
  std::vector<std::string> seen;
  for (const std::string& name : *names) {
    if (!is_token(name)) {
      return failure(ErrorKind::InvalidInput,
                     "the Secret of headers has a key that is not a header's name");
    }
    const std::string folded = lower(name);
    if (std::ranges::find(kOwnHeaders, folded) != kOwnHeaders.end()) {
      return failure(ErrorKind::InvalidInput,
                     "header " + name + " is not for users to set; remove it from the Secret");
    }
    if (std::ranges::find(seen, folded) != seen.end()) {
      return failure(ErrorKind::InvalidInput, "header " + name + " is there twice");
    }
    seen.push_back(folded);
    auto value = read_header_value(folder + "/" + name, name);
    if (!value) return std::unexpected(value.error());
    headers.push_back({name, std::move(*value)});
  }
  return headers;
}

Result<Url> read_url(const std::string& path) {
  auto content = read_secret_file(path, "the file with the URL", kMaxSecretBytes);
  if (!content) return std::unexpected(content.error());
  auto url = parse_url(trimmed(content->reveal()));
  if (!url) return failure_within("in the Secret", url.error());
  return url;
}

Result<AwsCredentials> read_aws_credentials(const std::string& folder) {
  auto id = read_key(folder, "AWS_ACCESS_KEY_ID");
  if (!id) return std::unexpected(id.error());
  auto key = read_key(folder, "AWS_SECRET_ACCESS_KEY");
  if (!key) return std::unexpected(key.error());
  auto token = read_key(folder, "AWS_SESSION_TOKEN");
  if (!token && token.error().kind != ErrorKind::NotFound) return std::unexpected(token.error());
  return AwsCredentials{std::move(*id), std::move(*key), token ? std::move(*token) : Secret()};
}

}  // namespace sandboxrun::agent
