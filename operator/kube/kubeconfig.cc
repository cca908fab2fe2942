#include "operator/kube/kubeconfig.h"

#include <openssl/evp.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "operator/base/document.h"
#include "operator/kube/proxy.h"
#include "operator/kube/url.h"
#include "operator/run/yaml_reader.h"

namespace sandboxrun::kube {
namespace {

/// One named entry and the file that it came from.
struct Entry {
  const Node* body = nullptr;
  std::string file;
};
using Entries = std::map<std::string, Entry, std::less<>>;

struct Merged {
  std::vector<Node> documents;  // what the entries point into
  Entries clusters;
  Entries users;
  Entries contexts;
  std::string current_context;
};

/// Reads members of one entry; the first thing wrong is kept in `problem`.
class Reader {
 public:
  Reader(const Entry& entry, std::string where) : entry_(entry), where_(std::move(where)) {}

  const Node* node(std::string_view key) const {
    const Node* found = entry_.body->find(key);
    return found == nullptr || found->kind == Node::Kind::Null ? nullptr : found;
  }

  std::string text(std::string_view key) {
    const Node* found = node(key);
    if (found == nullptr) return "";
    if (found->kind == Node::Kind::String) return found->text;
    complain(key, "must be a string; put it in quotes");
    return "";
  }

  bool flag(std::string_view key) {
    const Node* found = node(key);
    if (found == nullptr) return false;
    if (found->kind == Node::Kind::Bool) return found->boolean;
    complain(key, "must be true or false");
    return false;
  }

  /// A path, relative to the kubeconfig's folder.
  std::string path(std::string_view key) {
    const std::string given = text(key);
    if (given.empty()) return "";
    return (std::filesystem::path(entry_.file).parent_path() / given).lexically_normal().string();
  }

  /// Base64 under `key` + "-data", or else the file under `key`.
  PemSource pem(const std::string& key) {
    PemSource source;
    const std::string encoded = text(key + "-data");
    if (encoded.empty()) {
      source.file = path(key);
      return source;
    }
    auto decoded = decode_base64(encoded);
    if (!decoded) complain(key + "-data", "is not base64");
    source.data = Secret(decoded.value_or(""));
    return source;
  }

  void complain(std::string_view key, std::string_view what) {
    if (!problem_.empty()) return;
    problem_ = where_ + ": " + std::string(key) + " " + std::string(what);
  }

  const std::string& problem() const { return problem_; }
  const std::string& folder_of() const { return entry_.file; }

 private:
  static std::optional<std::string> decode_base64(std::string text) {
    std::erase_if(text, [](char c) { return c == '\n' || c == '\r'; });
    if (text.empty() || text.size() % 4 != 0) return std::nullopt;
    std::string out(text.size() / 4 * 3, '\0');
    const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()));
    if (size < 0) return std::nullopt;
    const auto padding = static_cast<std::size_t>(std::ranges::count(text, '='));
    out.resize(static_cast<std::size_t>(size) - std::min<std::size_t>(padding, 2));
    return out;
  }

  const Entry& entry_;
  std::string where_;
  std::string problem_;
};

std::unexpected<Error> invalid(std::string message) {
  return failure(ErrorKind::Invalid, std::move(message));
}

Result<void> merge_list(const Node& document, std::string_view list_key, std::string_view body_key,
                        const std::string& file, Entries& into) {
  const Node* list = document.find(list_key);
  if (list == nullptr || list->kind == Node::Kind::Null) return {};
  if (list->kind != Node::Kind::List) {
    return invalid(file + ": " + std::string(list_key) + " must be a list");
  }
  for (const Node& item : list->items) {
    const Node* name = item.find("name");
    const Node* body = item.find(body_key);
    if (name == nullptr || name->kind != Node::Kind::String) {
      return invalid(file + ": an entry of " + std::string(list_key) + " has no name");
    }
    if (body == nullptr || body->kind != Node::Kind::Map) continue;  // kubectl writes "user: {}"
    into.emplace(name->text, Entry{body, file});
  }
  return {};
}

Result<Merged> merge(const std::vector<KubeconfigFile>& files) {
  Merged merged;
  merged.documents.reserve(files.size());  // entries point into it
  for (const auto& file : files) {
    auto parsed = run::parse_yaml(file.text);
    if (!parsed) return invalid(file.path + ":" + parsed.error().message);
    merged.documents.push_back(std::move(*parsed));
    const Node& document = merged.documents.back();
    if (document.kind == Node::Kind::Null) continue;
    if (document.kind != Node::Kind::Map) return invalid(file.path + ": no kubeconfig");
    for (const auto& [list, body, into] : {std::tuple{"clusters", "cluster", &merged.clusters},
                                           std::tuple{"users", "user", &merged.users},
                                           std::tuple{"contexts", "context", &merged.contexts}}) {
      if (auto done = merge_list(document, list, body, file.path, *into); !done) {
        return std::unexpected(done.error());
      }
    }
    const Node* current = document.find("current-context");
    if (merged.current_context.empty() && current != nullptr &&
        current->kind == Node::Kind::String) {
      merged.current_context = current->text;
    }
  }
  return merged;
}

std::string names_of(const Entries& entries) {
  std::string names;
  for (const auto& [name, entry] : entries) names += (names.empty() ? "" : ", ") + name;
  return names.empty() ? "none" : names;
}

Result<void> read_cluster(Reader& reader, const std::string& where, Config& config) {
  const auto url = parse_url(reader.text("server"));
  if (!url || (url->scheme != "https" && url->scheme != "http") || !url->username.empty()) {
    reader.complain("server", "must be a URL such as https://10.0.0.1:6443");
    return invalid(reader.problem());
  }
  config.endpoint.tls = url->scheme == "https";
  config.endpoint.host = url->host;
  config.endpoint.port = url->port.value_or(config.endpoint.tls ? 443 : 80);
  config.endpoint.path_prefix = url->path;
  config.tls_server_name = reader.text("tls-server-name");
  config.certificate_authority = reader.pem("certificate-authority");
  config.skip_verify = reader.flag("insecure-skip-tls-verify");
  if (config.skip_verify && !config.certificate_authority.empty()) {
    reader.complain("insecure-skip-tls-verify",
                    "and a certificate authority exclude each other; remove one");
  }
  if (const std::string proxy = reader.text("proxy-url"); !proxy.empty()) {
    auto parsed = parse_proxy(proxy, where + ": proxy-url");
    if (!parsed) return std::unexpected(parsed.error());
    config.proxy = std::move(*parsed);
  }
  if (!reader.problem().empty()) return invalid(reader.problem());
  return {};
}

Result<ExecPlugin> read_exec(const Node& node, const std::string& file, const std::string& where) {
  const Entry entry{&node, file};
  Reader reader(entry, where + ": exec");
  ExecPlugin plugin;
  plugin.api_version = reader.text("apiVersion");
  if (plugin.api_version != "client.authentication.k8s.io/v1" &&
      plugin.api_version != "client.authentication.k8s.io/v1beta1") {
    reader.complain(
        "apiVersion",
        "must be client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1");
  }
  plugin.command = reader.text("command");
  if (plugin.command.empty()) reader.complain("command", "is missing");
  // As kubectl: a name is looked up in PATH, a relative path belongs to the file.
  if (plugin.command.contains('/')) plugin.command = reader.path("command");
  plugin.install_hint = reader.text("installHint");
  plugin.provide_cluster_info = reader.flag("provideClusterInfo");
  if (reader.text("interactiveMode") == "Always") {
    reader.complain("interactiveMode", "is Always, but there is no terminal here");
  }
  if (const Node* args = reader.node("args")) {
    for (const Node& arg : args->items) {
      if (arg.kind != Node::Kind::String) reader.complain("args", "must be strings; use quotes");
      plugin.args.push_back(arg.text);
    }
  }
  if (const Node* env = reader.node("env")) {
    for (const Node& variable : env->items) {
      const Entry pair{&variable, file};
      Reader one(pair, where + ": exec.env");
      plugin.env.emplace_back(one.text("name"), one.text("value"));
      if (plugin.env.back().first.empty()) one.complain("name", "is missing");
      if (!one.problem().empty()) return invalid(one.problem());
    }
  }
  if (!reader.problem().empty()) return invalid(reader.problem());
  return plugin;
}

void read_impersonation(Reader& reader, Config& config) {
  for (const auto& [key, header] :
       {std::pair{"as", "Impersonate-User"}, std::pair{"as-uid", "Impersonate-Uid"}}) {
    if (auto value = reader.text(key); !value.empty()) {
      config.impersonate.emplace_back(header, std::move(value));
    }
  }
  if (const Node* groups = reader.node("as-groups")) {
    // The header would have to be repeated, which the HTTP library cannot.
    if (groups->items.size() > 1) reader.complain("as-groups", "may name one group here");
    for (const Node& group : groups->items) {
      config.impersonate.emplace_back("Impersonate-Group", group.text);
    }
  }
  if (reader.node("as-user-extra") != nullptr) reader.complain("as-user-extra", "is not supported");
  for (const auto& [header, value] : config.impersonate) {
    if (std::ranges::any_of(value, [](unsigned char c) { return c < 0x20 || c >= 0x7f; })) {
      reader.complain("as", "holds characters that no header can carry");
    }
  }
}

Result<void> read_user(Reader& reader, const std::string& where, Config& config) {
  config.client_certificate = reader.pem("client-certificate");
  config.client_key = reader.pem("client-key");
  if (config.client_certificate.empty() != config.client_key.empty()) {
    reader.complain("client-certificate and client-key", "go together; one of them is missing");
  }
  const std::string token = reader.text("token");
  const std::string token_file = reader.path("tokenFile");
  const std::string username = reader.text("username");
  const Node* exec = reader.node("exec");
  const bool has_token = !token.empty() || !token_file.empty();
  if (has_token + !username.empty() + (exec != nullptr) > 1) {
    reader.complain("token, username and exec", "exclude each other; keep one");
  }
  if (reader.node("auth-provider") != nullptr) {
    reader.complain("auth-provider", "was removed from Kubernetes; use an exec plugin");
  }
  // A file is renewed, so it goes before a token that was written down.
  if (!token_file.empty()) {
    config.credentials = TokenFile{token_file};
  } else if (!token.empty()) {
    if (std::ranges::any_of(token, [](unsigned char c) { return c <= 0x20 || c >= 0x7f; })) {
      reader.complain("token", "holds blanks or characters that no header can carry");
    }
    config.credentials = StaticToken{Secret(token)};
  } else if (!username.empty()) {
    config.credentials = BasicAuth{username, Secret(reader.text("password"))};
  } else if (exec != nullptr) {
    auto plugin = read_exec(*exec, reader.folder_of(), where);
    if (!plugin) return std::unexpected(plugin.error());
    config.credentials = std::move(*plugin);
  }
  read_impersonation(reader, config);
  if (!reader.problem().empty()) return invalid(reader.problem());
  return {};
}

}  // namespace

Result<Config> resolve_kubeconfig(const std::vector<KubeconfigFile>& files,
                                  std::string_view context_name) {
  const auto merged = merge(files);
  if (!merged) return std::unexpected(merged.error());
  const std::string first = files.empty() ? "kubeconfig" : files.front().path;
  const std::string name(context_name.empty() ? std::string_view(merged->current_context)
                                              : context_name);
  if (name.empty()) {
    return invalid(first + ": no current-context is set; name a context (there are: " +
                   names_of(merged->contexts) + ")");
  }
  const auto context = merged->contexts.find(name);
  if (context == merged->contexts.end()) {
    return invalid(first + ": there is no context " + name +
                   " (there are: " + names_of(merged->contexts) + ")");
  }
  Config config;
  config.source = context->second.file + ", context " + name;
  Reader reader(context->second, context->second.file + ": context " + name);
  const std::string cluster_name = reader.text("cluster");
  const std::string user_name = reader.text("user");
  if (const auto given = reader.text("namespace"); !given.empty()) config.default_namespace = given;
  if (!reader.problem().empty()) return invalid(reader.problem());

  const auto cluster = merged->clusters.find(cluster_name);
  if (cluster == merged->clusters.end()) {
    return invalid(context->second.file + ": context " + name + " names the cluster \"" +
                   cluster_name + "\", which is not there");
  }
  const std::string cluster_where = cluster->second.file + ": cluster " + cluster_name;
  Reader cluster_reader(cluster->second, cluster_where);
  if (auto read = read_cluster(cluster_reader, cluster_where, config); !read) {
    return std::unexpected(read.error());
  }
  if (user_name.empty()) return config;
  const auto user = merged->users.find(user_name);
  if (user == merged->users.end()) {
    return invalid(context->second.file + ": context " + name + " names the user \"" + user_name +
                   "\", which is not there");
  }
  const std::string user_where = user->second.file + ": user " + user_name;
  Reader user_reader(user->second, user_where);
  if (auto read = read_user(user_reader, user_where, config); !read) {
    return std::unexpected(read.error());
  }
  return config;
}

}  // namespace sandboxrun::kube
