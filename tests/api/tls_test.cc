#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/api/test_certificates.h"
#include "tests/api/transport_fixture.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::kube {
namespace {

using namespace std::chrono_literals;
using test::Answer;
using test::FakeApiServer;
using testing::HasSubstr;

class Tls : public testing::Test {
 protected:
  FakeApiServer::Options server_options(const std::vector<std::string>& names, int days = 1) {
    const auto certificate = authority_.issue(names, days);
    return {.certificate_pem = certificate.certificate_pem, .key_pem = certificate.key_pem};
  }
  Config config_for(const FakeApiServer& server) {
    Config config = plain_config(server);
    config.endpoint.tls = true;
    config.certificate_authority.data = Secret(authority_.pem());
    return config;
  }
  Result<Response> get(const Config& config) {
    return transport_to(config)->roundtrip(get_pods(), {});
  }
  void expect_handshake_failure(const Config& config, const std::string& why) {
    const auto answer = get(config);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().kind, ErrorKind::Unreachable);
    EXPECT_THAT(answer.error().message, HasSubstr(why));
  }

  test::TestAuthority authority_;
};

TEST_F(Tls, AnAddressInTheCertificateIsAccepted) {
  FakeApiServer server(server_options({"IP:127.0.0.1"}));
  server.always("GET", kPodsPath, Answer::json("{}"));
  const auto answer = get(config_for(server));
  EXPECT_TRUE(answer) << answer.error().message;
}

TEST_F(Tls, ANameInTheCertificateIsAccepted) {
  FakeApiServer server(server_options({"DNS:localhost"}));
  server.always("GET", kPodsPath, Answer::json("{}"));
  Config config = config_for(server);
  config.endpoint.host = "localhost";
  const auto answer = get(config);
  EXPECT_TRUE(answer) << answer.error().message;
}

TEST_F(Tls, IPv6WorksWithAndWithoutAServerName) {
  auto options = server_options({"IP:::1", "DNS:kubernetes.default.svc"});
  options.address = "::1";
  FakeApiServer server(options);
  server.always("GET", kPodsPath, Answer::json("{}"));
  Config config = config_for(server);
  config.endpoint.host = "::1";
  auto answer = get(config);
  EXPECT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(server.requests().at(0).header("host"), "[::1]:" + std::to_string(server.port()));
  config.tls_server_name = "kubernetes.default.svc";
  answer = get(config);
  EXPECT_TRUE(answer) << answer.error().message;
}

TEST_F(Tls, AnotherNameIsRefused) {
  const FakeApiServer server(server_options({"DNS:other.example"}));
  expect_handshake_failure(config_for(server), "IP address mismatch");
}

TEST_F(Tls, TheServerNameOfTheConfigurationIsTheOneThatCounts) {
  FakeApiServer server(server_options({"DNS:api.example"}));
  server.always("GET", kPodsPath, Answer::json("{}"));
  Config config = config_for(server);
  config.tls_server_name = "api.example";
  const auto answer = get(config);
  EXPECT_TRUE(answer) << answer.error().message;
  config.tls_server_name = "127.0.0.1";
  expect_handshake_failure(config, "IP address mismatch");
}

TEST_F(Tls, AnotherAuthorityIsRefused) {
  const FakeApiServer server(server_options({"IP:127.0.0.1"}));
  Config config = config_for(server);
  const test::TestAuthority other;
  config.certificate_authority.data = Secret(other.pem());
  expect_handshake_failure(config, "its certificate is refused: ");
}

TEST_F(Tls, AnExpiredCertificateIsRefused) {
  const FakeApiServer server(server_options({"IP:127.0.0.1"}, -1));
  expect_handshake_failure(config_for(server), "certificate has expired");
}

TEST_F(Tls, WithoutAConfiguredAuthorityOnlyTheSystemsRootsCount) {
  const FakeApiServer server(server_options({"IP:127.0.0.1"}));
  Config config = config_for(server);
  config.certificate_authority = {};
  expect_handshake_failure(config, "its certificate is refused: ");
}

TEST_F(Tls, OnlySkipVerifySkipsIt) {
  FakeApiServer server(server_options({"DNS:other.example"}, -1));
  server.always("GET", kPodsPath, Answer::json("{}"));
  Config config = config_for(server);
  config.certificate_authority = {};
  config.skip_verify = true;
  const auto answer = get(config);
  EXPECT_TRUE(answer) << answer.error().message;
}

TEST_F(Tls, AClientCertificateIsShown) {
  auto options = server_options({"IP:127.0.0.1"});
  options.client_ca_pem = authority_.pem();
  FakeApiServer server(options);
  server.always("GET", kPodsPath, Answer::json("{}"));
  Config config = config_for(server);
  EXPECT_FALSE(get(config));
  const auto mine = authority_.issue({});
  config.client_certificate.data = Secret(mine.certificate_pem);
  config.client_key.data = Secret(mine.key_pem);
  const auto answer = get(config);
  EXPECT_TRUE(answer) << answer.error().message;
}

TEST_F(Tls, AKeyOfAnotherCertificateIsToldBeforeTheFirstCall) {
  const FakeApiServer server(server_options({"IP:127.0.0.1"}));
  Config config = config_for(server);
  config.client_certificate.data = Secret(authority_.issue({}).certificate_pem);
  config.client_key.data = Secret(authority_.issue({}).key_pem);
  const auto made = make_http_transport(config);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().kind, ErrorKind::NoCredentials);
  EXPECT_EQ(made.error().message, "the client key does not belong to the client certificate");
}

TEST_F(Tls, ARenewedAuthorityFileIsReadWhenAHandshakeFails) {
  const test::TempDir folder;
  test::write_file(folder / "ca.crt", authority_.pem());
  FakeApiServer server(server_options({"IP:127.0.0.1"}));
  server.always("GET", kPodsPath, Answer::json("{}"));
  server.always("POST", kPodsPath, Answer::json("{}", 201));
  Config config = config_for(server);
  config.certificate_authority = {};
  config.certificate_authority.file = folder / "ca.crt";
  const auto transport = transport_to(config);
  ASSERT_TRUE(transport->roundtrip(get_pods(), {}));
  const test::TestAuthority next;
  const auto renewed = next.issue({"IP:127.0.0.1"});
  server.use_certificate(renewed.certificate_pem, renewed.key_pem);
  test::write_file(folder / "ca.crt", next.pem());
  server.drop_connections();
  std::this_thread::sleep_for(20ms);
  auto answer = transport->roundtrip(get_pods(), {});
  EXPECT_TRUE(answer) << answer.error().message;
  answer = transport->roundtrip(create_request(kPods, "x", "{}"), {});
  EXPECT_TRUE(answer) << answer.error().message;
}

TEST_F(Tls, ASlowHandshakeIsBoundedByTheDeadline) {
  auto options = server_options({"IP:127.0.0.1"});
  options.handshake_delay = 30s;
  const FakeApiServer server(options);
  Request request = get_pods();
  request.deadline = 200ms;
  const auto begin = std::chrono::steady_clock::now();
  const auto answer = transport_to(config_for(server))->roundtrip(request, {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Timeout);
  EXPECT_LT(since(begin), 2s);
}

TEST_F(Tls, AStreamWorksOverTls) {
  FakeApiServer server(server_options({"IP:127.0.0.1"}));
  server.always("GET", kPodsPath, Answer::stream({{"{\"a\":1}\n"}, {"{\"a\":2}\n", 30ms}}));
  Lines lines;
  const auto end =
      transport_to(config_for(server))
          ->stream(watch_request(kPods, {.namespace_name = "x"}, {}), lines.sink(), {});
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(*end, StreamEnd::Closed);
  EXPECT_EQ(lines.lines, (std::vector<std::string>{"{\"a\":1}", "{\"a\":2}"}));
}

}  // namespace
}  // namespace sandboxrun::kube
