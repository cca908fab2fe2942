#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "operator/kube/api.h"
#include "operator/kube/config.h"
#include "operator/kube/credentials.h"
#include "operator/kube/exec_plugin.h"
#include "operator/kube/kubeconfig.h"
#include "operator/kube/line_splitter.h"
#include "operator/kube/proxy.h"
#include "operator/kube/url.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::kube {
namespace {

using namespace std::chrono_literals;
using test::TempDir;
using test::write_file;
using testing::HasSubstr;
using testing::Not;

Environment environment_of(std::map<std::string, std::string> variables) {
  return [variables](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(std::string(name));
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

/// A kubeconfig with one cluster, user and context, all called `name`.
std::string kubeconfig(const std::string& name, const std::string& cluster,
                       const std::string& user) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: " + name +
         "\n"
         "clusters:\n- name: " +
         name + "\n  cluster: {" + cluster +
         "}\n"
         "users:\n- name: " +
         name + "\n  user: {" + user +
         "}\n"
         "contexts:\n- name: " +
         name + "\n  context: {cluster: " + name + ", user: " + name + ", namespace: team-" + name +
         "}\n";
}

Result<Config> resolve(const std::string& text, std::string_view context = "") {
  return resolve_kubeconfig({{"/home/u/.kube/config", text}}, context);
}

std::string problem_of(const std::string& cluster, const std::string& user) {
  const auto config = resolve(kubeconfig("a", cluster, user));
  return config ? "" : config.error().message;
}

// --- kubeconfig ----------------------------------------------------------------------------------

TEST(Kubeconfig, ResolvesTheCurrentContext) {
  const auto config = resolve(
      kubeconfig("a", "server: 'https://api.example:6443/k8s/', tls-server-name: other.example",
                 "token: t-1"));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->endpoint, (Endpoint{true, "api.example", 6443, "/k8s"}));
  EXPECT_EQ(config->tls_server_name, "other.example");
  EXPECT_EQ(config->default_namespace, "team-a");
  EXPECT_EQ(config->source, "/home/u/.kube/config, context a");
  EXPECT_EQ(std::get<StaticToken>(config->credentials).token.reveal(), "t-1");
  EXPECT_FALSE(config->skip_verify);
}

TEST(Kubeconfig, PortsFollowTheScheme) {
  EXPECT_EQ(resolve(kubeconfig("a", "server: 'https://h'", ""))->endpoint.port, 443);
  EXPECT_EQ(resolve(kubeconfig("a", "server: 'http://h'", ""))->endpoint.port, 80);
  EXPECT_EQ(resolve(kubeconfig("a", "server: 'https://[fd00::1]:6443'", ""))->endpoint,
            (Endpoint{true, "fd00::1", 6443, ""}));
}

TEST(Kubeconfig, OfSeveralFilesTheFirstToNameSomethingWins) {
  const auto config = resolve_kubeconfig(
      {{"/one/config", kubeconfig("a", "server: 'https://one'", "token: t-1")},
       {"/two/config", kubeconfig("a", "server: 'https://two'", "token: t-2")},
       {"/three/config", kubeconfig("b", "server: 'https://three'", "token: t-3")}},
      "");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->endpoint.host, "one");
  EXPECT_EQ(std::get<StaticToken>(config->credentials).token.reveal(), "t-1");
}

TEST(Kubeconfig, AnotherFilesContextCanBeNamed) {
  const auto config = resolve_kubeconfig(
      {{"/one/config", kubeconfig("a", "server: 'https://one'", "token: t-1")},
       {"/three/config", kubeconfig("b", "server: 'https://three'", "token: t-3")}},
      "b");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->endpoint.host, "three");
}

TEST(Kubeconfig, AContextThatIsNotThereIsAnsweredWithThoseThatAre) {
  const auto config = resolve(kubeconfig("a", "server: 'https://h'", ""), "b");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().message, "/home/u/.kube/config: there is no context b (there are: a)");
}

TEST(Kubeconfig, RelativePathsBelongToTheFilesFolder) {
  const auto config = resolve(
      kubeconfig("a", "server: 'https://h', certificate-authority: pki/ca.crt",
                 "client-certificate: ../me.crt, client-key: /abs/me.key, tokenFile: token"));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->certificate_authority.file, "/home/u/.kube/pki/ca.crt");
  EXPECT_EQ(config->client_certificate.file, "/home/u/me.crt");
  EXPECT_EQ(config->client_key.file, "/abs/me.key");
  EXPECT_EQ(std::get<TokenFile>(config->credentials).path, "/home/u/.kube/token");
}

TEST(Kubeconfig, DataGoesBeforeFiles) {
  const auto config = resolve(kubeconfig(
      "a",
      "server: 'https://h', certificate-authority: ca.crt, certificate-authority-data: Y2E=", ""));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->certificate_authority.data.reveal(), "ca");
  EXPECT_EQ(config->certificate_authority.file, "");
}

TEST(Kubeconfig, VerificationIsSkippedOnlyWhenTheFileSaysSo) {
  EXPECT_TRUE(resolve(kubeconfig("a", "server: 'https://h', insecure-skip-tls-verify: true", ""))
                  ->skip_verify);
  EXPECT_EQ(problem_of("server: 'https://h', insecure-skip-tls-verify: 'true'", ""),
            "/home/u/.kube/config: cluster a: insecure-skip-tls-verify must be true or false");
}

TEST(Kubeconfig, ATokenFileGoesBeforeAToken) {
  const auto config = resolve(kubeconfig("a", "server: 'https://h'", "token: t, tokenFile: /f"));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(std::get<TokenFile>(config->credentials).path, "/f");
}

TEST(Kubeconfig, WhatIsWrongIsNamedWithItsPlace) {
  struct Case {
    std::string cluster;
    std::string user;
    std::string problem;
  };
  const std::string https = "server: 'https://h'";
  for (const auto& one : std::vector<Case>{
           {"server: h", "", "cluster a: server must be a URL such as https://10.0.0.1:6443"},
           {"server: 'https://u:p@h'", "", "cluster a: server must be a URL"},
           {https + ", certificate-authority-data: '%%%'", "",
            "cluster a: certificate-authority-data is not base64"},
           {https + ", insecure-skip-tls-verify: true, certificate-authority: ca", "",
            "cluster a: insecure-skip-tls-verify and a certificate authority exclude each other"},
           {https + ", proxy-url: 'socks5://h:1'", "",
            "cluster a: proxy-url: a proxy of the scheme socks5 is not supported"},
           {https, "token: 12", "user a: token must be a string; put it in quotes"},
           {https, "token: 'a b'", "user a: token holds blanks"},
           {https, "client-key: k", "user a: client-certificate and client-key go together"},
           {https, "token: t, username: u", "user a: token, username and exec exclude each other"},
           {https, "auth-provider: {name: gcp}", "user a: auth-provider was removed"},
           {https, "as: u, as-user-extra: {a: [b]}", "user a: as-user-extra is not supported"},
           {https, "exec: {command: c, apiVersion: client.authentication.k8s.io/v1alpha1}",
            "user a: exec: apiVersion must be client.authentication.k8s.io/v1 or"},
           {https, "exec: {apiVersion: client.authentication.k8s.io/v1}",
            "user a: exec: command is missing"},
           {https,
            "exec: {apiVersion: client.authentication.k8s.io/v1, command: c, "
            "interactiveMode: Always}",
            "user a: exec: interactiveMode is Always, but there is no terminal here"},
       }) {
    EXPECT_THAT(problem_of(one.cluster, one.user), HasSubstr(one.problem));
  }
}

TEST(Kubeconfig, S4_AnErrorDoesNotRepeatASecret) {
  EXPECT_THAT(problem_of("server: 'https://h'", "token: 'hush hush'"), Not(HasSubstr("hush")));
  EXPECT_THAT(problem_of("server: 'https://h', proxy-url: 'ftp://u:hush@h'", ""),
              Not(HasSubstr("hush")));
}

TEST(Kubeconfig, ImpersonationBecomesHeaders) {
  const auto config =
      resolve(kubeconfig("a", "server: 'https://h'", "token: t, as: jane, as-groups: [dev]"));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->impersonate, (std::vector<std::pair<std::string, std::string>>{
                                     {"Impersonate-User", "jane"}, {"Impersonate-Group", "dev"}}));
}

// --- where the configuration comes from ----------------------------------------------------------

TEST(LoadConfig, FilesOfTheListThatDoNotExistArePassedOver) {
  const TempDir folder;
  write_file(folder / "two", kubeconfig("a", "server: 'https://two'", "token: t"));
  const auto config = load_config(
      {}, environment_of({{"KUBECONFIG", (folder / "one") + ":" + (folder / "two") + ":"}}));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->endpoint.host, "two");
}

TEST(LoadConfig, AnExplicitFileGoesBeforeTheEnvironmentAndMustExist) {
  const TempDir folder;
  write_file(folder / "one", kubeconfig("a", "server: 'https://one'", ""));
  write_file(folder / "two", kubeconfig("a", "server: 'https://two'", ""));
  const auto environment = environment_of({{"KUBECONFIG", folder / "one"}});
  EXPECT_EQ(load_config({.kubeconfig = folder / "two"}, environment)->endpoint.host, "two");
  const auto missing = load_config({.kubeconfig = folder / "three"}, environment);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::NoCredentials);
  EXPECT_EQ(missing.error().message,
            "the kubeconfig " + (folder / "three") + " names no file that exists");
}

TEST(LoadConfig, TheHomeFolderIsTheLastPlace) {
  const TempDir home;
  std::filesystem::create_directory(home.path() / ".kube");
  write_file(home / ".kube/config", kubeconfig("a", "server: 'https://home'", ""));
  EXPECT_EQ(load_config({}, environment_of({{"HOME", home.path()}}))->endpoint.host, "home");
}

TEST(LoadConfig, WithNothingItNamesWhatItLookedFor) {
  const auto config = load_config({}, environment_of({}));
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr("there is no cluster configuration"));
}

TEST(LoadConfig, TheEnvironmentsProxyIsTakenUnlessTheFileNamesOne) {
  const TempDir folder;
  const auto environment = environment_of({{"HTTPS_PROXY", "http://env:3128"}});
  write_file(folder / "one", kubeconfig("a", "server: 'https://h'", ""));
  EXPECT_EQ(load_config({.kubeconfig = folder / "one"}, environment)->proxy->host, "env");
  write_file(folder / "two", kubeconfig("a", "server: 'https://h', proxy-url: 'http://own:1'", ""));
  EXPECT_EQ(load_config({.kubeconfig = folder / "two"}, environment)->proxy->host, "own");
}

class InCluster : public testing::Test {
 protected:
  InCluster() {
    write_file(folder_ / "token", "t\n");
    write_file(folder_ / "ca.crt", "ca");
    write_file(folder_ / "namespace", "ops\n");
  }
  Result<Config> config(const std::string& host) {
    return in_cluster_config(
        environment_of({{"KUBERNETES_SERVICE_HOST", host}, {"KUBERNETES_SERVICE_PORT", "6443"}}),
        folder_.path().string());
  }
  TempDir folder_;
};

TEST_F(InCluster, TakesAddressTokenAuthorityAndNamespaceOfThePod) {
  const auto made = config("10.96.0.1");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->endpoint, (Endpoint{true, "10.96.0.1", 6443, ""}));
  EXPECT_EQ(made->certificate_authority.file, folder_ / "ca.crt");
  EXPECT_EQ(std::get<TokenFile>(made->credentials).path, folder_ / "token");
  EXPECT_EQ(made->default_namespace, "ops");
  EXPECT_EQ(made->source, "in-cluster");
}

TEST_F(InCluster, TakesAnIPv6Address) {
  EXPECT_EQ(config("fd00::1")->endpoint, (Endpoint{true, "fd00::1", 6443, ""}));
}

TEST_F(InCluster, WithoutATokenItSaysWhatThePodNeeds) {
  std::filesystem::remove(folder_ / "token");
  const auto made = config("10.96.0.1");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().kind, ErrorKind::NoCredentials);
  EXPECT_THAT(made.error().message, HasSubstr("automountServiceAccountToken: true"));
}

TEST_F(InCluster, WithoutTheVariablesItNamesThem) {
  const auto made = in_cluster_config(environment_of({}), folder_.path().string());
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("KUBERNETES_SERVICE_HOST"));
}

// --- tokens --------------------------------------------------------------------------------------

class TokenRules : public testing::Test {
 protected:
  TokenRules() {
    config_.credentials = TokenFile{folder_ / "token"};
    clocks_.steady = [this] { return now_; };
    write_file(folder_ / "token", " first\n");
  }
  std::string authorization() {
    const auto credential = source_->current({});
    return credential ? std::string(credential->authorization.reveal())
                      : credential.error().message;
  }

  TempDir folder_;
  Config config_;
  std::chrono::steady_clock::time_point now_{1000s};
  Clocks clocks_;
  std::unique_ptr<CredentialSource> source_;
};

TEST_F(TokenRules, AFileIsReadAgainAfterFiftySeconds) {
  source_ = make_credential_source(config_, clocks_);
  EXPECT_EQ(authorization(), "Bearer first");
  write_file(folder_ / "token", "second");
  now_ += 49s;
  EXPECT_EQ(authorization(), "Bearer first");
  now_ += 1s;
  EXPECT_EQ(authorization(), "Bearer second");
}

TEST_F(TokenRules, AnEmptyOrMissingFileKeepsTheLastToken) {
  source_ = make_credential_source(config_, clocks_);
  EXPECT_EQ(authorization(), "Bearer first");
  write_file(folder_ / "token", "\n");
  now_ += 60s;
  EXPECT_EQ(authorization(), "Bearer first");
  std::filesystem::remove(folder_ / "token");
  now_ += 60s;
  EXPECT_EQ(authorization(), "Bearer first");
}

TEST_F(TokenRules, AFileThatWasNeverThereIsAnErrorWithItsName) {
  std::filesystem::remove(folder_ / "token");
  source_ = make_credential_source(config_, clocks_);
  EXPECT_EQ(authorization(), "cannot read " + (folder_ / "token") + ": No such file or directory");
}

TEST_F(TokenRules, ATokenThatWouldBeTwoHeadersIsRefused) {
  write_file(folder_ / "token", "a\r\nX-Other: b");
  source_ = make_credential_source(config_, clocks_);
  EXPECT_EQ(authorization(), "the token file " + (folder_ / "token") + " holds no token");
}

TEST_F(TokenRules, ARefusedTokenIsReadAgainAtOnce) {
  source_ = make_credential_source(config_, clocks_);
  const auto first = source_->current({});
  ASSERT_TRUE(first);
  EXPECT_FALSE(source_->refused(first->generation, {}));  // the file has not changed
  write_file(folder_ / "token", "second");
  EXPECT_TRUE(source_->refused(first->generation, {}));
  EXPECT_EQ(authorization(), "Bearer second");
}

TEST(Credentials, BasicIsEncoded) {
  Config config;
  config.credentials = BasicAuth{"user", Secret("pass:word")};
  EXPECT_EQ(make_credential_source(config)->current({})->authorization.reveal(),
            "Basic dXNlcjpwYXNzOndvcmQ=");
}

// --- exec plugins --------------------------------------------------------------------------------

constexpr std::string_view kV1 = "client.authentication.k8s.io/v1";

class Exec : public testing::Test {
 protected:
  Exec() {
    config_.endpoint = {.tls = true, .host = "api.example", .port = 6443, .path_prefix = ""};
    plugin_.api_version = kV1;
    plugin_.command = folder_ / "plugin";
  }
  void script(const std::string& body) {
    write_file(plugin_.command, "#!/bin/sh\n" + body + "\n");
    chmod(plugin_.command.c_str(), 0755);
  }
  static std::string credential(const std::string& status) {
    return R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{)" +
           status + "}}";
  }
  Result<ExecCredential> run(std::chrono::milliseconds timeout = 10s) {
    return run_exec_plugin(plugin_, config_, timeout, {});
  }
  std::string problem(std::chrono::milliseconds timeout = 10s) {
    const auto given = run(timeout);
    return given ? "" : given.error().message;
  }

  TempDir folder_;
  Config config_;
  ExecPlugin plugin_;
};

TEST_F(Exec, GivesTheTokenAndItsEnd) {
  script("echo '" + credential(R"("token":"t","expirationTimestamp":"2026-01-02T03:04:05Z")") +
         "'");
  const auto given = run();
  ASSERT_TRUE(given) << given.error().message;
  EXPECT_EQ(given->token.reveal(), "t");
  EXPECT_EQ(given->expires, parse_time("2026-01-02T03:04:05Z"));
}

TEST_F(Exec, ArgumentsGoThroughNoShell) {
  script("printf '%s|' \"$@\" >" + (folder_ / "seen") + "; echo '" + credential(R"("token":"t")") +
         "'");
  plugin_.args = {"$(id)", "a b", "; true"};
  ASSERT_TRUE(run());
  EXPECT_EQ(test::read_file(folder_ / "seen"), "$(id)|a b|; true|");
}

TEST_F(Exec, GetsItsEnvironmentAndTheClusterWhenItAsks) {
  script("printf '%s' \"$PROFILE $KUBERNETES_EXEC_INFO\" >" + (folder_ / "seen") + "; echo '" +
         credential(R"("token":"t")") + "'");
  plugin_.env = {{"PROFILE", "dev"}};
  plugin_.provide_cluster_info = true;
  ASSERT_TRUE(run());
  EXPECT_EQ(test::read_file(folder_ / "seen"),
            R"(dev {"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",)"
            R"("spec":{"cluster":{"server":"https://api.example:6443"},"interactive":false}})");
}

TEST_F(Exec, InheritsNoDescriptors) {
  const int leak = dup(0);
  script("ls /proc/self/fd >" + (folder_ / "seen") + "; echo '" + credential(R"("token":"t")") +
         "'");
  ASSERT_TRUE(run());
  close(leak);
  EXPECT_EQ(test::read_file(folder_ / "seen"), "0\n1\n2\n3\n");  // 3 is ls reading the folder
}

TEST_F(Exec, AFailureNamesTheCommandAndTheHintAndNotTheOutput) {
  plugin_.install_hint = "install it";
  script("echo hush; exit 3");
  EXPECT_EQ(problem(),
            "the exec plugin " + plugin_.command + " ended with exit code 3; hint: install it");
  script("echo hush");
  EXPECT_EQ(problem(),
            "the exec plugin " + plugin_.command + " did not print JSON; hint: install it");
  plugin_.command = folder_ / "missing";
  EXPECT_THAT(problem(), HasSubstr("cannot be started: No such file or directory"));
}

TEST_F(Exec, APluginThatHangsIsStopped) {
  script("sleep 60");
  EXPECT_THAT(problem(200ms), HasSubstr("takes too long and was stopped"));
  script("exec >&-; sleep 60");
  EXPECT_THAT(problem(200ms), HasSubstr("takes too long and was stopped"));
}

TEST_F(Exec, APluginThatPrintsWithoutEndIsStopped) {
  script("exec cat /dev/zero");
  EXPECT_THAT(problem(), HasSubstr("prints more than 1 MiB"));
}

TEST_F(Exec, TheAnswerIsKeptUntilTenSecondsBeforeItsEnd) {
  script("echo x >>" + (folder_ / "runs") + "; echo '" +
         credential(R"("token":"t","expirationTimestamp":"2026-01-02T03:04:05Z")") + "'");
  config_.credentials = plugin_;
  auto now = *parse_time("2026-01-02T03:03:54Z");
  Clocks clocks;
  clocks.system = [&] { return now; };
  const auto source = make_credential_source(config_, clocks);
  EXPECT_EQ(source->current({})->authorization.reveal(), "Bearer t");
  ASSERT_TRUE(source->current({}));
  EXPECT_EQ(test::read_file(folder_ / "runs"), "x\n");
  now += 1s;
  ASSERT_TRUE(source->current({}));
  EXPECT_EQ(test::read_file(folder_ / "runs"), "x\nx\n");
}

TEST(ExecCredential, IsRefusedUnlessItIsOne) {
  const auto problem = [](std::string_view json) {
    const auto parsed = parse_exec_credential(json, kV1);
    return parsed ? std::string() : parsed.error().message;
  };
  EXPECT_EQ(problem(R"({"kind":"Pod"})"), "did not print an ExecCredential");
  EXPECT_THAT(problem(R"({"kind":"ExecCredential","apiVersion":"v9"})"),
              HasSubstr("of another version than client.authentication.k8s.io/v1"));
  const std::string head = R"({"kind":"ExecCredential","apiVersion":")" + std::string(kV1) + "\"";
  EXPECT_EQ(problem(head + "}"), "printed no status");
  EXPECT_EQ(problem(head + R"(,"status":{}})"), "gave neither a token nor a certificate");
  EXPECT_EQ(problem(head + R"(,"status":{"clientKeyData":"k"}})"),
            "gave a certificate without a key, or the reverse");
  EXPECT_EQ(problem(head + R"(,"status":{"token":"t","expirationTimestamp":"soon"}})"),
            "gave an expirationTimestamp that is not RFC 3339 in UTC");
}

// --- proxies -------------------------------------------------------------------------------------

TEST(NoProxy, ExemptsWhatItNames) {
  struct Case {
    std::string list;
    std::string host;
    bool exempt;
  };
  for (const auto& one : std::vector<Case>{
           {"", "api.example", false},
           {"*", "api.example", true},
           {"example", "api.example", true},
           {"example", "example", true},
           {"ample", "api.example", false},
           {".example", "api.example", true},
           {".example", "example", false},
           {"a, API.example ,b", "api.EXAMPLE", true},
           {"api.example:6443", "api.example", true},
           {"api.example:443", "api.example", false},
           {"10.0.0.0/8", "10.96.0.1", true},
           {"10.0.0.0/8", "11.0.0.1", false},
           {"10.96.0.1", "10.96.0.1", true},
           {"fd00::/8", "fd00::1", true},
           {"::1", "fd00::1", false},
           {"", "localhost", true},
           {"", "127.0.0.2", true},
           {"", "::1", true},
       }) {
    EXPECT_EQ(bypasses_proxy(one.list, one.host, 6443), one.exempt)
        << one.list << " / " << one.host;
  }
}

TEST(ProxyChoice, FollowsTheSchemeAndUpperCaseFirst) {
  const auto environment = environment_of({{"HTTPS_PROXY", "http://u:p%40@upper:1"},
                                           {"https_proxy", "http://lower:2"},
                                           {"http_proxy", "plain:3"}});
  const auto https = proxy_from_environment({.host = "h"}, environment);
  ASSERT_TRUE(https && *https);
  EXPECT_EQ((*https)->host, "upper");
  EXPECT_EQ((*https)->username, "u");
  EXPECT_EQ((*https)->password.reveal(), "p@");
  const auto http = proxy_from_environment({.tls = false, .host = "h"}, environment);
  ASSERT_TRUE(http && *http);
  EXPECT_EQ((*http)->host, "plain");
  EXPECT_EQ((*http)->port, 3);
}

TEST(ProxyChoice, ABadProxyNamesTheVariableAndNotItsValue) {
  const auto proxy =
      proxy_from_environment({.host = "h"}, environment_of({{"HTTPS_PROXY", "https://hush:1"}}));
  ASSERT_FALSE(proxy);
  EXPECT_EQ(proxy.error().message,
            "HTTPS_PROXY: a proxy of the scheme https is not supported; give http://host:port");
}

// --- small parts ---------------------------------------------------------------------------------

TEST(ApiPaths, AreEncodedAndKnowTheCoreGroup) {
  const Resource pods{"", "v1", "pods"};
  const Resource runs{"sandboxrun.dev", "v1alpha1", "sandboxruns"};
  EXPECT_EQ(collection_path(pods, ""), "/api/v1/pods");
  EXPECT_EQ(object_path(runs, {"x", "a"}, "status"),
            "/apis/sandboxrun.dev/v1alpha1/namespaces/x/sandboxruns/a/status");
  EXPECT_EQ(object_path(pods, {"../x", "a/b?c"}), "/api/v1/namespaces/..%2Fx/pods/a%2Fb%3Fc");
}

TEST(ApiRequests, OnlyWhatMayBeSentTwiceIsIdempotent) {
  const Resource pods{"", "v1", "pods"};
  EXPECT_FALSE(create_request(pods, "x", "{}").idempotent);
  EXPECT_FALSE(json_patch_request(pods, {"x", "a"}, "[]").idempotent);
  EXPECT_FALSE(delete_request(pods, {"x", "a"}, {}).idempotent);
  EXPECT_TRUE(delete_request(pods, {"x", "a"}, {.uid = "u"}).idempotent);
  EXPECT_TRUE(apply_request(pods, {"x", "a"}, "{}", {.field_manager = "m"}).idempotent);
}

TEST(ApiRequests, AContinuedListNamesNoVersion) {
  const auto request = list_request({"", "v1", "pods"}, {.label_selector = "a=b"},
                                    {.resource_version = "5", .limit = 2, .continue_token = "t"});
  EXPECT_EQ(request.query, (std::vector<std::pair<std::string, std::string>>{
                               {"labelSelector", "a=b"}, {"limit", "2"}, {"continue", "t"}}));
}

TEST(ApiRequests, AWatchListAsksForTheInitialEvents) {
  const auto request =
      watch_request({"", "v1", "pods"}, {}, {.timeout = 240s, .send_initial_events = true});
  EXPECT_EQ(request.query, (std::vector<std::pair<std::string, std::string>>{
                               {"watch", "1"},
                               {"allowWatchBookmarks", "true"},
                               {"timeoutSeconds", "240"},
                               {"resourceVersion", ""},
                               {"sendInitialEvents", "true"},
                               {"resourceVersionMatch", "NotOlderThan"}}));
  EXPECT_EQ(request.idle_timeout, 245s);
}

TEST(LineSplitter, GivesTheSameLinesForEveryCut) {
  const std::string text = "one\ntwo\n\nthree\nrest";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    LineSplitter splitter(100);
    std::vector<std::string> lines;
    const auto keep = [&](std::string_view line) {
      lines.emplace_back(line);
      return true;
    };
    splitter.push(std::string_view(text).substr(0, cut), keep);
    splitter.push(std::string_view(text).substr(cut), keep);
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three"})) << cut;
    EXPECT_TRUE(splitter.has_rest());
  }
}

TEST(Url, IsReadStrictly) {
  for (const auto* bad : {"", "h", "://h", "https://", "https://h:0", "https://h:65536",
                          "https://h:1x", "https://h?x", "https://h#x", "https://[::1",
                          "https://[h]", "https://h h", "https://a:b@:1"}) {
    EXPECT_FALSE(parse_url(bad)) << bad;
  }
  const auto url = parse_url("HTTPS://u%3A:p@[::1]:8443/a/");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->username, "u:");
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->path, "/a");
}

}  // namespace
}  // namespace sandboxrun::kube
