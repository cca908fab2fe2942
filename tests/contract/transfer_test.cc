#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "tests/support/s3_server.h"
#include "tests/support/transfer_fixture.h"

namespace sandboxrun::test {
namespace {

constexpr const char* kHelloDigest =
    "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

using Fetch = TransferTest;
using Upload = TransferTest;
using S3 = TransferTest;

std::string failed_attempts(const HttpsServer& server, const std::string& path,
                            const std::string& cause) {
  return server.url(path) + ": 3 attempts; last: " + cause;
}

TEST_F(Fetch, N8_HashesWhatItWritesAndHandsItOverAtItsStart) {
  const HttpsServer server(authority_, R"({"/a": [{"body": "hello"}]})");
  auto fetched = fetch(at(server, "/a?q=1"));
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(fetched->digest, kHelloDigest);
  EXPECT_EQ(fetched->bytes, 5);
  EXPECT_EQ(content_of(*fetched), "hello");
  ASSERT_EQ(server.requests().size(), 1U);
  EXPECT_EQ(server.requests()[0].method, "GET");
  EXPECT_EQ(server.requests()[0].target, "/a?q=1");
  EXPECT_EQ(server.requests()[0].header("user-agent"), "sandboxrun");
  EXPECT_EQ(server.requests()[0].header("host"), "127.0.0.1:" + std::to_string(server.port()));
}

TEST_F(Fetch, ReadsEmptyChunkedAndLargeBodies) {
  const HttpsServer server(authority_, R"({"/empty": [{"body": ""}],
      "/chunked": [{"body": "hello", "chunked": true, "drip": [2, 0]}],
      "/large": [{"size": 30000000}]})");
  EXPECT_EQ(fetch_text(at(server, "/empty")), "");
  EXPECT_EQ(fetch_text(at(server, "/chunked")), "hello");
  auto large = fetch(at(server, "/large"));
  ASSERT_TRUE(large) << large.error().message;
  EXPECT_EQ(large->bytes, 30'000'000);
  EXPECT_EQ(large->digest, *agent::digest_of(large->file.get()));
}

TEST_F(Fetch, TellsItsProgress) {
  const HttpsServer server(authority_, R"({"/a": [{"size": 3000000}]})");
  std::int64_t last = 0;
  std::int64_t total = 0;
  context_.progress = [&](std::int64_t done, std::int64_t of) {
    EXPECT_GT(done, last);
    last = done;
    total = of;
  };
  ASSERT_TRUE(fetch(at(server, "/a")));
  EXPECT_EQ(last, 3'000'000);
  EXPECT_EQ(total, 3'000'000);
}

TEST_F(Fetch, W6_TriesAgainAfter5xxUntilItWorks) {
  const HttpsServer server(authority_,
                           R"({"/a": [{"status": 503}, {"status": 500}, {"body": "hello"}]})");
  EXPECT_EQ(fetch_text(at(server, "/a")), "hello");
  EXPECT_EQ(server.requests().size(), 3U);
}

TEST_F(Fetch, W6_GivesUpAfterAllAttemptsAndTellsTheLastCause) {
  const HttpsServer server(authority_, R"({"/a": [{"status": 500}, {"status": 503}]})");
  EXPECT_EQ(fetch_error(at(server, "/a")),
            (Error{ErrorKind::Transport, failed_attempts(server, "/a", "HTTP 503")}));
  EXPECT_EQ(server.requests().size(), 3U);
}

TEST_F(Fetch, W6_FailsAtOnceOn4xx) {
  for (const int status : {400, 401, 403, 404, 408, 410, 416, 451}) {
    const HttpsServer server(authority_, R"({"/a": [{"status": )" + std::to_string(status) +
                                             R"(, "body": "x"}, {"body": "hello"}]})");
    EXPECT_EQ(fetch_error(at(server, "/a")),
              (Error{ErrorKind::Rejected, server.url("/a") + ": HTTP " + std::to_string(status)}));
    EXPECT_EQ(server.requests().size(), 1U);
  }
}

TEST_F(Fetch, W6_RefusesSuccessThatIsNotTheWholeFile) {
  const HttpsServer server(authority_, R"({"/part": [{"status": 206, "body": "x"}],
      "/none": [{"status": 204}], "/same": [{"status": 304}]})");
  EXPECT_EQ(fetch_error(at(server, "/part")),
            (Error{ErrorKind::Rejected, server.url("/part") + ": HTTP 206"}));
  EXPECT_EQ(fetch_error(at(server, "/none")),
            (Error{ErrorKind::Rejected, server.url("/none") + ": HTTP 204"}));
  EXPECT_EQ(fetch_error(at(server, "/same")),
            (Error{ErrorKind::Rejected, server.url("/same") + ": HTTP 304"}));
}

TEST_F(Fetch, W6_TriesAgainAfterATransportError) {
  const HttpsServer server(authority_, R"({"/a": [{"hang_up": true}, {"body": "hello"}]})");
  EXPECT_EQ(fetch_text(at(server, "/a")), "hello");
  EXPECT_EQ(server.requests().size(), 2U);
}

TEST_F(Fetch, W6_TellsThatNobodyListens) {
  protocol::HttpLocation location;
  {
    const HttpsServer gone(authority_, "{}");
    location = at(gone, "/a");
  }
  EXPECT_EQ(fetch_error(location),
            (Error{ErrorKind::Transport, location.url + ": 3 attempts; last: no connection"}));
}

TEST_F(Fetch, W6_WaitsAsLongAsRetryAfterAsks) {
  const HttpsServer server(
      authority_, R"({"/a": [{"status": 429, "headers": [["Retry-After", "1"]]}, {"body": "x"}]})");
  tuning_.longest_wait = std::chrono::seconds(5);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(fetch_text(at(server, "/a")), "x");
  EXPECT_GE(seconds_since(start), 1.0);
}

TEST_F(Fetch, W6_WaitsNoLongerThanTheLongestWaitWhateverTheServerAsks) {
  const HttpsServer server(authority_, R"({"/a": [
      {"status": 429, "headers": [["Retry-After", "99999999999999999999"]]}, {"body": "x"}]})");
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(fetch_text(at(server, "/a")), "x");
  EXPECT_LT(seconds_since(start), 5.0);
}

TEST_F(Fetch, W6_DoublesItsWaitsUpToTheLongest) {
  const HttpsServer server(authority_, R"({"/a": [{"status": 500}]})");
  context_.policy.max_attempts = 5;
  tuning_.first_wait = std::chrono::milliseconds(100);
  tuning_.longest_wait = std::chrono::milliseconds(200);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(fetch_error(at(server, "/a")).kind, ErrorKind::Transport);
  // Between half and all of 100 + 200 + 200 + 200 ms.
  EXPECT_GE(seconds_since(start), 0.35);
  EXPECT_LT(seconds_since(start), 10.0);
}

// Each wait is as long as the server asks, so that none of its attempts begins near the deadline.
TEST_F(Fetch, W6_KeepsOneDeadlineOverAllAttempts) {
  const HttpsServer server(authority_,
                           R"({"/a": [{"status": 503, "headers": [["Retry-After", "2"]]}]})");
  context_.policy.max_attempts = 100;
  context_.policy.timeout_seconds = 4;
  tuning_.longest_wait = std::chrono::seconds(2);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(fetch_error(at(server, "/a")),
            (Error{ErrorKind::Timeout, server.url("/a") +
                                           ": 2 attempts; last: HTTP 503; no time is left for "
                                           "another"}));
  EXPECT_EQ(server.requests().size(), 2U);
  EXPECT_LT(seconds_since(start), 10.0);
}

TEST_F(Fetch, W6_FollowsFiveRedirectsOfEveryKind) {
  const HttpsServer server(authority_, R"({
      "/1": [{"status": 301, "headers": [["Location", "/dir/2"]]}],
      "/dir/2": [{"status": 302, "headers": [["Location", "3?x=y"]]}],
      "/dir/3": [{"status": 303, "headers": [["Location", "https://127.0.0.1:{port}/4"]]}],
      "/4": [{"status": 307, "headers": [["Location", "//127.0.0.1:{port}/5"]]}],
      "/5": [{"status": 308, "headers": [["Location", "../6#fragment"]]}],
      "/6": [{"body": "hello"}]})");
  EXPECT_EQ(fetch_text(at(server, "/1")), "hello");
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 6U);
  EXPECT_EQ(requests[2].target, "/dir/3?x=y");
  EXPECT_EQ(requests[5].target, "/6");
}

TEST_F(Fetch, W6_FollowsNoSixthRedirect) {
  const HttpsServer server(authority_,
                           R"({"/a": [{"status": 302, "headers": [["Location", "/a"]]}]})");
  EXPECT_EQ(fetch_error(at(server, "/a")),
            (Error{ErrorKind::Denied, server.url("/a") + ": redirect 6: more than 5 redirects"}));
  EXPECT_EQ(server.requests().size(), 6U);
}

TEST_F(Fetch, T9_StartsOverWhenABodyIsCutShort) {
  const HttpsServer server(authority_,
                           R"({"/a": [{"body": "hexxo", "send": 3}, {"body": "hello"}]})");
  auto fetched = fetch(at(server, "/a"));
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(fetched->digest, kHelloDigest);
  EXPECT_EQ(content_of(*fetched), "hello");
}

TEST_F(Fetch, StopsPromptlyWhenCancelledWhileTransferring) {
  const HttpsServer server(authority_, R"({"/a": [{"size": 1000000, "drip": [1000, 0.1]}]})");
  std::stop_source stop;
  context_.stop = stop.get_token();
  const auto start = std::chrono::steady_clock::now();
  const std::jthread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    stop.request_stop();
  });
  EXPECT_EQ(fetch_error(at(server, "/a")),
            (Error{ErrorKind::Cancelled, server.url("/a") + ": cancelled"}));
  EXPECT_LT(seconds_since(start), 5.0);
}

TEST_F(Fetch, StopsPromptlyWhenCancelledBetweenAttempts) {
  const HttpsServer server(authority_, R"({"/a": [{"status": 503}]})");
  std::stop_source stop;
  context_.stop = stop.get_token();
  tuning_.first_wait = tuning_.longest_wait = std::chrono::seconds(15);
  const auto start = std::chrono::steady_clock::now();
  const std::jthread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    stop.request_stop();
  });
  EXPECT_EQ(fetch_error(at(server, "/a")),
            (Error{ErrorKind::Cancelled, server.url("/a") + ": HTTP 503; cancelled"}));
  EXPECT_LT(seconds_since(start), 5.0);
}

TEST_F(Fetch, SendsTheHeadersOfAMountedSecret) {
  const HttpsServer server(authority_, R"({"/a": [{"body": "x"}]})");
  const TempDir secret;
  // As the kubelet mounts it: hidden data folder, links to its entries.
  std::filesystem::create_directory(secret / "..2026_data");
  write_file(secret / "..2026_data/Authorization", "Bearer t0ken\n");
  write_file(secret / "..2026_data/X-Two", "a b");
  std::filesystem::create_symlink("..2026_data", secret / "..data");
  std::filesystem::create_symlink("..data/Authorization", secret / "Authorization");
  std::filesystem::create_symlink("..data/X-Two", secret / "X-Two");
  auto location = at(server, "/a");
  location.headers_dir = secret.path();
  ASSERT_EQ(fetch_text(location), "x");
  EXPECT_EQ(server.requests()[0].header("authorization"), "Bearer t0ken");
  EXPECT_EQ(server.requests()[0].header("x-two"), "a b");
}

TEST_F(Fetch, ReadsAUrlFromAMountedSecret) {
  const HttpsServer server(authority_, R"({"/a": [{"body": "x"}]})");
  const TempDir secret;
  write_file(secret / "url", "  " + server.url("/a?sig=1") + "\n");
  auto location = at(server, "/a");
  location.url.clear();
  location.url_file = secret / "url";
  EXPECT_EQ(fetch_text(location), "x");
  EXPECT_EQ(server.requests()[0].target, "/a?sig=1");
}

TEST_F(Fetch, W5_FetchesOverHttpOnlyWhenAllowed) {
  const HttpsServer server(R"({"/a": [{"body": "x"}]})");
  EXPECT_EQ(fetch_error(at(server, "/a")),
            (Error{ErrorKind::Denied,
                   server.url("/a") + ": http is refused; use https, or have http allowed"}));
  EXPECT_EQ(server.requests().size(), 0U);
  context_.policy.allow_http = true;
  EXPECT_EQ(fetch_text(at(server, "/a")), "x");
}

TEST_F(Fetch, W5_CopiesLocalFilesThroughTheLinksOfAMount) {
  const TempDir dir;
  write_file(dir / "data file", "hello");
  std::filesystem::create_symlink("data file", dir / "link");
  auto fetched = fetch(protocol::FileLocation{dir / "link"});
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(fetched->digest, kHelloDigest);
  write_file(dir / "data file", "changed later");
  EXPECT_EQ(content_of(*fetched), "hello");
}

TEST_F(Fetch, W5_RefusesWhatIsNotARegularFileWithoutOpeningIt) {
  const TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  for (const std::string& path : {dir / "fifo", dir.path().string(), std::string("/dev/zero")}) {
    EXPECT_EQ(fetch_error(protocol::FileLocation{path}),
              (Error{ErrorKind::Denied, "file " + path + " is not a regular file"}));
  }
  EXPECT_EQ(fetch_error(protocol::FileLocation{dir / "none"}),
            (Error{ErrorKind::NotFound, "file " + (dir / "none") + " does not exist"}));
}

TEST_F(Fetch, WritesInlineText) {
  EXPECT_EQ(fetch_text(protocol::InlineText{"hello\n"}), "hello\n");
}

TEST_F(Fetch, KeepsTheLimitForEverySource) {
  const HttpsServer server(authority_, R"({"/a": [{"body": "123456"}],
      "/chunked": [{"body": "123456", "chunked": true}], "/fits": [{"body": "12345"}]})");
  const TempDir dir;
  write_file(dir / "f", "123456");
  context_.policy.max_bytes = 5;
  EXPECT_EQ(fetch_error(at(server, "/a")),
            (Error{ErrorKind::LimitExceeded,
                   server.url("/a") + ": the server announced more than the allowed 5 bytes"}));
  EXPECT_EQ(fetch_error(at(server, "/chunked")),
            (Error{ErrorKind::LimitExceeded,
                   server.url("/chunked") + ": more than the allowed 5 bytes"}));
  EXPECT_EQ(
      fetch_error(protocol::FileLocation{dir / "f"}),
      (Error{ErrorKind::LimitExceeded, "file " + (dir / "f") + ": more than the allowed 5 bytes"}));
  EXPECT_EQ(fetch_error(protocol::InlineText{"123456"}),
            (Error{ErrorKind::LimitExceeded, "inline text: more than the allowed 5 bytes"}));
  EXPECT_EQ(fetch_text(at(server, "/fits")), "12345");
}

TEST_F(Fetch, NamesAnExceptionThatCannotBeRead) {
  const HttpsServer server(authority_, "{}");
  context_.policy.allow = {"localhost"};
  EXPECT_EQ(fetch_error(at(server, "/a")),
            (Error{ErrorKind::InvalidInput,
                   "allowed address \"localhost\" is not of the form 10.0.0.0/8, 10.0.0.0/8:443, "
                   "fd00::/8 or [fd00::]/8:443"}));
}

TEST_F(Upload, W13_PutsTheWholeFileWithItsLengthAndType) {
  const HttpsServer server(authority_, R"({"/r": [{"status": 200}, {"status": 201},
      {"status": 204}]})");
  for (int i = 0; i < 3; ++i) ASSERT_EQ(upload_text("hello", at(server, "/r?sig=1")), "stored");
  const auto request = server.requests()[0];
  EXPECT_EQ(request.method, "PUT");
  EXPECT_EQ(request.target, "/r?sig=1");
  EXPECT_EQ(request.header("content-length"), "5");
  EXPECT_EQ(request.header("content-type"), "application/gzip");
  EXPECT_EQ(request.header("transfer-encoding"), "");
  EXPECT_EQ(request.header("expect"), "");
  EXPECT_EQ("sha256:" + request.sha256, kHelloDigest);
}

TEST_F(Upload, W13_SendsEmptyAndLargeFiles) {
  const HttpsServer server(authority_, R"({"/r": [{"status": 200}]})");
  const std::string large(20'000'000, 'y');
  ASSERT_EQ(upload_text("", at(server, "/r")), "stored");
  ASSERT_EQ(upload_text(large, at(server, "/r")), "stored");
  EXPECT_EQ(server.requests()[0].header("content-length"), "0");
  EXPECT_EQ(server.requests()[1].bytes, 20'000'000);
}

TEST_F(Upload, W13_TriesAgainFromTheStart) {
  const HttpsServer server(authority_,
                           R"({"/r": [{"status": 503}, {"hang_up": true}, {"status": 200}]})");
  EXPECT_EQ(upload_text("hello", at(server, "/r")), "stored");
  ASSERT_EQ(server.requests().size(), 3U);
  EXPECT_EQ("sha256:" + server.requests()[2].sha256, kHelloDigest);
}

TEST_F(Upload, W13_FailsAtOnceOn4xxAndRedirects) {
  const HttpsServer server(authority_, R"({"/no": [{"status": 403, "early": true}],
      "/moved": [{"status": 307, "headers": [["Location", "/r"]]}], "/r": [{"status": 200}],
      "/odd": [{"status": 202}]})");
  EXPECT_EQ(upload_text("hello", at(server, "/no")), server.url("/no") + ": HTTP 403");
  EXPECT_EQ(upload_text("hello", at(server, "/moved")),
            server.url("/moved") + ": HTTP 307; an upload follows no redirect");
  EXPECT_EQ(upload_text("hello", at(server, "/odd")), server.url("/odd") + ": HTTP 202");
  EXPECT_EQ(server.requests().size(), 3U);
}

TEST_F(Upload, SendsTheContentTypeThatASignedUrlDemands) {
  const HttpsServer server(authority_, R"({"/r": [{"status": 200}]})");
  const TempDir secret;
  write_file(secret / "content-type", "application/octet-stream");
  auto target = at(server, "/r");
  target.headers_dir = secret.path();
  ASSERT_EQ(upload_text("hello", target), "stored");
  EXPECT_EQ(server.requests()[0].headers.count("content-type"), 1U);
  EXPECT_EQ(server.requests()[0].header("content-type"), "application/octet-stream");
}

TEST_F(Upload, W13_StoresAFileBesideOthersAndNeverOverOne) {
  const TempDir dir;
  const protocol::FileLocation target{dir / "results.tar.gz"};
  EXPECT_EQ(upload_text("hello", target), "stored");
  EXPECT_EQ(read_file(target.path), "hello");
  EXPECT_EQ(upload_text("other", target),
            "file " + target.path + ": the file exists already; nothing was overwritten");
  EXPECT_EQ(read_file(target.path), "hello");
  EXPECT_EQ(upload_text("x", protocol::FileLocation{dir / "none/r"}),
            "file " + (dir / "none/r") + ": its folder does not exist; make it first");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST_F(Upload, W13_NeverWritesThroughALinkInTheTargetsPlace) {
  const TempDir dir;
  write_file(dir / "victim", "precious");
  std::filesystem::create_symlink("victim", dir / "r");
  EXPECT_EQ(upload_text("hello", protocol::FileLocation{dir / "r"}),
            "file " + (dir / "r") + ": the file exists already; nothing was overwritten");
  EXPECT_EQ(read_file(dir / "victim"), "precious");
}

protocol::S3Location object(const S3Server& server, const std::string& bucket,
                            const std::string& key) {
  protocol::S3Location location;
  location.endpoint = server.endpoint();
  location.region = "us-east-1";
  location.bucket = bucket;
  location.key = key;
  location.credentials_dir = server.credentials_dir();
  return location;
}

TEST_F(S3, P3_GetsObjectsWhoseKeysNeedEncoding) {
  S3Server server;
  context_.policy.allow_http = true;
  server.put("inputs", "a%20b/%C3%A9%2B%3D%26%3F%23%25%27%28%29%2A%21.txt", "hello");
  EXPECT_EQ(fetch_text(object(server, "inputs", "a b/\xC3\xA9+=&?#%'()*!.txt")), "hello");
}

TEST_F(S3, P3_GetsANamedVersion) {
  S3Server server;
  context_.policy.allow_http = true;
  auto location = object(server, "versions", "model.bin");
  location.version_id = server.put("versions", "model.bin", "first");
  server.put("versions", "model.bin", "second");
  ASSERT_FALSE(location.version_id.empty());
  EXPECT_EQ(fetch_text(location), "first");
  location.version_id.clear();
  EXPECT_EQ(fetch_text(location), "second");
}

TEST_F(S3, P3_TellsTheStoresErrorCode) {
  S3Server server;
  context_.policy.allow_http = true;
  EXPECT_EQ(fetch_error(object(server, "inputs", "none")),
            (Error{ErrorKind::Rejected, server.endpoint() + "/inputs/none: HTTP 404 (NoSuchKey)"}));
  auto wrong = object(server, "inputs", "x");
  const TempDir keys;
  write_file(keys / "AWS_ACCESS_KEY_ID", "testaccess");
  write_file(keys / "AWS_SECRET_ACCESS_KEY", "not the key");
  wrong.credentials_dir = keys.path();
  EXPECT_EQ(fetch_error(wrong),
            (Error{ErrorKind::InvalidInput, server.endpoint() + "/inputs/x: S3 credential "
                                                                "AWS_SECRET_ACCESS_KEY holds a "
                                                                "space or a control character"}));
  write_file(keys / "AWS_SECRET_ACCESS_KEY", "notthekey");
  EXPECT_EQ(fetch_error(wrong),
            (Error{ErrorKind::Rejected,
                   server.endpoint() + "/inputs/x: HTTP 403 (SignatureDoesNotMatch)"}));
  std::filesystem::remove(keys / "AWS_SECRET_ACCESS_KEY");
  EXPECT_EQ(fetch_error(wrong).message, server.endpoint() +
                                            "/inputs/x: S3 credential AWS_SECRET_ACCESS_KEY does "
                                            "not exist");
}

TEST_F(S3, W13_PutsResultsThatAnotherClientReads) {
  S3Server server;
  context_.policy.allow_http = true;
  const auto target = object(server, "inputs", "runs/1 2/results.tar.gz");
  ASSERT_EQ(upload_text("hello", target), "stored");
  EXPECT_EQ(server.get("inputs", "runs/1%202/results.tar.gz"), "hello");
  EXPECT_EQ(fetch_text(target), "hello");
}

TEST_F(S3, P3_AddressesABucketByTheEndpointsHostName) {
  S3Server server;
  context_.policy.allow_http = true;
  context_.policy.allow.push_back("::1/128");
  server.put("inputs", "k", "hello");
  auto location = object(server, "inputs", "k");
  location.endpoint = "http://inputs.localhost:" + std::to_string(server.port());
  EXPECT_EQ(fetch_text(location), "hello");
}

TEST_F(S3, P3_SpeaksTlsWithAPrivateAuthority) {
  const S3Server server(authority_);
  auto location = object(server, "inputs", "k");
  EXPECT_EQ(fetch_error(location).kind, ErrorKind::Denied);
  location.ca_file = authority_.file();
  EXPECT_EQ(fetch_error(location),
            (Error{ErrorKind::Rejected, server.endpoint() + "/inputs/k: HTTP 404 (NoSuchKey)"}));
}

TEST_F(S3, SendsTemporaryKeysTokenAndPayloadHash) {
  const HttpsServer server(authority_, R"({"/inputs/k": [{"status": 200}]})");
  const TempDir keys;
  write_file(keys / "AWS_ACCESS_KEY_ID", "ASIAX\n");
  write_file(keys / "AWS_SECRET_ACCESS_KEY", "secret\n");
  write_file(keys / "AWS_SESSION_TOKEN", "t0/ken==\n");
  protocol::S3Location target;
  target.endpoint = server.url("");
  target.bucket = "inputs";
  target.key = "k";
  target.ca_file = authority_.file();
  target.credentials_dir = keys.path();
  ASSERT_EQ(upload_text("hello", target), "stored");
  const auto request = server.requests()[0];
  EXPECT_EQ(request.header("x-amz-security-token"), "t0/ken==");
  EXPECT_EQ("sha256:" + request.header("x-amz-content-sha256"), kHelloDigest);
  EXPECT_THAT(request.header("authorization"),
              ::testing::ContainsRegex(
                  "^AWS4-HMAC-SHA256 Credential=ASIAX/[0-9]{8}/us-east-1/s3/aws4_request,"
                  "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"
                  "Signature=[0-9a-f]{64}$"));
  target.credentials_dir.clear();
  ASSERT_EQ(upload_text("hello", target), "stored");
  EXPECT_EQ(server.requests()[1].headers.count("authorization"), 0U);
}

}  // namespace
}  // namespace sandboxrun::test
