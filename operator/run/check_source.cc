#include <algorithm>
#include <array>

#include "operator/run/check.h"
#include "operator/run/limits.h"
#include "operator/run/wording.h"
#include "sandbox-image/agent/url.h"

namespace sandboxrun::run {
namespace {

using agent::Url;

/// Query parameters that make a URL a secret: signatures and keys of the big stores and of common
/// services. Compared without regard to case.
constexpr std::array<std::string_view, 13> kSecretParameters = {"x-amz-signature",
                                                                "x-amz-credential",
                                                                "x-amz-security-token",
                                                                "x-goog-signature",
                                                                "signature",
                                                                "sig",
                                                                "awsaccesskeyid",
                                                                "token",
                                                                "access_token",
                                                                "api_key",
                                                                "apikey",
                                                                "password",
                                                                "secret"};

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

/// A parameter's name with its percent triplets resolved, so that "%73ig" is "sig".
std::string decode_percent(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// The name of a parameter that must not be in a manifest, or empty.
std::string_view secret_parameter(std::string_view query) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find_first_of("&;"), query.size());
    const std::string_view parameter = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::string name = lower(decode_percent(parameter.substr(0, parameter.find('='))));
    const auto found = std::ranges::find(kSecretParameters, name);
    if (found != kSecretParameters.end()) return *found;
  }
  return {};
}

constexpr std::string_view kUseUrlFrom =
    "; a manifest is no place for secrets: put the URL into a Secret and use urlFrom.secretKeyRef";

void check_scheme(Check& check, const std::string& path, const Url& url) {
  if (url.scheme == "https" || check.policy().allow_http) return;
  check.denied(path,
               "http:// is not encrypted and is not allowed here; use https://, or have the "
               "administrator allow http");
}

/// Never quotes the URL: it may hold a secret.
void check_url(Check& check, const std::string& path, std::string_view text) {
  if (text.size() > kMaxUrl) {
    return check.invalid(path, "has " + std::to_string(text.size()) + " bytes; a URL has at most " +
                                   std::to_string(kMaxUrl));
  }
  if (text.starts_with("file:")) {
    return check.invalid(path,
                         "file: URLs are not fetched over https; the launcher has the "
                         "source `file: {path: ...}`, a cluster has none");
  }
  const std::size_t authority = text.find("://");
  if (authority != std::string_view::npos) {
    const std::string_view rest = text.substr(authority + 3);
    if (rest.substr(0, rest.find_first_of("/?#")).find('@') != std::string_view::npos) {
      return check.invalid(path, "holds a user name or password" + std::string(kUseUrlFrom));
    }
  }
  const auto url = agent::parse_url(text);
  if (!url) return check.invalid(path, url.error().message);
  if (text.find('#') != std::string_view::npos) {
    return check.invalid(path, "holds a fragment (#...), which is never sent; remove it");
  }
  if (const auto name = secret_parameter(url->query.value_or("")); !name.empty()) {
    return check.invalid(path, "holds the parameter " + quoted(name) +
                                   ", which looks like a "
                                   "signature or key" +
                                   std::string(kUseUrlFrom));
  }
  check_scheme(check, path, *url);
}

void check_https(Check& check, const std::string& path, const HttpsSource& https) {
  if (https.url.empty() == !https.url_secret.has_value()) {
    check.invalid(
        path, https.url.empty() ? "needs url or urlFrom" : "has both url and urlFrom; keep one");
  }
  if (!https.url.empty()) check_url(check, member_path(path, "url"), https.url);
  if (https.url_secret) {
    check.key_reference(path + ".urlFrom.secretKeyRef", *https.url_secret);
  }
  if (!https.headers_secret.empty()) {
    check.object_name(path + ".headersSecretRef.name", https.headers_secret, kMaxObjectName);
  }
  if (https.ca) {
    check.object_name(path + ".caConfigMapRef.name", https.ca->name, kMaxObjectName);
    if (!https.ca->key.empty()) check.object_key(path + ".caConfigMapRef.key", https.ca->key);
  }
}

void check_endpoint(Check& check, const std::string& path, std::string_view endpoint) {
  const auto url = agent::parse_url(endpoint);
  const bool bare = url && (url->path.empty() || url->path == "/") && !url->query &&
                    endpoint.find('#') == std::string_view::npos;
  if (!bare) {
    return check.invalid(path, std::string(url ? "must hold nothing but scheme, host and port"
                                               : url.error().message) +
                                   "; write https://host or https://host:port");
  }
  check_scheme(check, path, *url);
}

void check_bucket(Check& check, const std::string& path, std::string_view bucket) {
  const auto ok = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  };
  const bool good = bucket.size() >= 3 && bucket.size() <= 63 && std::ranges::all_of(bucket, ok) &&
                    bucket.front() != '.' && bucket.front() != '-' && bucket.back() != '.' &&
                    bucket.back() != '-' && bucket.find("..") == std::string_view::npos;
  if (good) return;
  check.invalid(path, quoted(bucket) +
                          " is not a bucket: 3 to 63 of a-z, 0-9, - and ., with a "
                          "letter or digit at both ends");
}

void check_s3_key(Check& check, const std::string& path, std::string_view key) {
  if (key.empty()) return check.invalid(path, "must not be empty");
  if (key.starts_with('/')) {
    return check.invalid(path, quoted(key) + " begins with a slash; keys do not");
  }
  std::string_view rest = key;
  while (true) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, slash);
    if (part == "." || part == "..") {
      return check.invalid(path, quoted(key) + " has a component " + quoted(part) +
                                     ", which proxies resolve; rename the object");
    }
    if (slash == rest.size()) break;
    rest.remove_prefix(slash + 1);
  }
  check.plain_text(path, key, kMaxS3Key);
}

void check_s3(Check& check, const std::string& path, const S3Source& s3) {
  if (!s3.endpoint.empty()) check_endpoint(check, path + ".endpoint", s3.endpoint);
  const auto region_character = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  if (s3.region.empty() && s3.endpoint.empty()) {
    check.invalid(path + ".region", "is required where endpoint is not given");
  } else if (s3.region.size() > 63 || !std::ranges::all_of(s3.region, region_character)) {
    check.invalid(path + ".region", quoted(s3.region) +
                                        " is not a region: up to 63 of a-z, 0-9 "
                                        "and -");
  }
  check_bucket(check, path + ".bucket", s3.bucket);
  check_s3_key(check, path + ".key", s3.key);
  check.plain_text(path + ".versionId", s3.version_id, 1024);
  if (!s3.credentials_secret.empty()) {
    check.object_name(path + ".credentialsSecretRef.name", s3.credentials_secret, kMaxObjectName);
  }
}

void check_file(Check& check, const std::string& path, const FileSource& file) {
  if (check.where() == Where::Cluster) {
    return check.invalid(path,
                         "files of a machine exist only for `sandboxrun run`; in a cluster "
                         "use https, s3, configMap or inline");
  }
  if (file.path.empty()) return check.invalid(path + ".path", "must not be empty");
  check.plain_text(path + ".path", file.path, 4096);
}

void exactly_one(Check& check, const std::string& path, int count, std::string_view names) {
  if (count == 1) return;
  check.invalid(path, count == 0 ? "needs one of " + std::string(names)
                                 : "has " + std::to_string(count) + " of " + std::string(names) +
                                       "; keep one");
}

void add_endpoint(std::vector<Endpoint>& out, const std::string& path,
                  const std::optional<HttpsSource>& https, const std::optional<S3Source>& s3) {
  if (https && https->url_secret) out.push_back({path + ".https.urlFrom", "", 443, false});
  std::string text;
  if (https && !https->url.empty()) text = https->url;
  if (s3) {
    text = s3->endpoint.empty() ? "https://s3." + s3->region + ".amazonaws.com" : s3->endpoint;
  }
  if (text.empty()) return;
  const auto url = agent::parse_url(text);
  const std::string at = path + (s3 ? ".s3" : ".https.url");
  if (url) out.push_back({at, url->host, url->port, true});
}

}  // namespace

void check_source(Check& check, const std::string& path, const Source& source, SourceUse use) {
  const int count = (source.https ? 1 : 0) + (source.s3 ? 1 : 0) + (source.config_map ? 1 : 0) +
                    (source.inline_text ? 1 : 0) + (source.file ? 1 : 0);
  exactly_one(check, path, count,
              use == SourceUse::Archive ? "https and s3" : "https, s3, configMap and inline");
  if (source.https) check_https(check, path + ".https", *source.https);
  if (source.s3) check_s3(check, path + ".s3", *source.s3);
  if (source.config_map) check.key_reference(path + ".configMap", *source.config_map);
  if (source.inline_text && source.inline_text->size() > kMaxInlineBytes) {
    check.invalid(path + ".inline", "has " + std::to_string(source.inline_text->size()) +
                                        " bytes; at most " + std::to_string(kMaxInlineBytes) +
                                        " fit into a manifest: use a ConfigMap, https or s3");
  }
  if (source.file) check_file(check, path + ".file", *source.file);
}

void check_upload(Check& check, const std::string& path, const Upload& upload) {
  exactly_one(check, path, (upload.https ? 1 : 0) + (upload.s3 ? 1 : 0), "https and s3");
  if (upload.https) check_https(check, path + ".https", *upload.https);
  if (upload.s3) check_s3(check, path + ".s3", *upload.s3);
}

std::vector<Endpoint> endpoints_of(const Spec& spec) {
  std::vector<Endpoint> out;
  if (const auto& archive = spec.environment.archive) {
    add_endpoint(out, "spec.environment.archive.source", archive->source.https, archive->source.s3);
  }
  for (std::size_t i = 0; i < spec.assets.size(); ++i) {
    const Source& source = spec.assets[i].source;
    add_endpoint(out, item_path("spec.assets", i) + ".source", source.https, source.s3);
  }
  if (spec.results && spec.results->upload) {
    const Upload& upload = *spec.results->upload;
    add_endpoint(out, "spec.results.upload", upload.https, upload.s3);
  }
  return out;
}

}  // namespace sandboxrun::run
