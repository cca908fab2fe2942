#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "tests/support/s3_server.h"
#include "tests/support/transfer_fixture.h"

namespace sandboxrun::test {
namespace {

using TransferAttack = TransferTest;

/// Runs `action` in a child with its own mounts, and gives back the text that it returns.
std::string with_own_mounts(const std::function<std::string()>& action) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return "pipe2 failed";
  const pid_t pid = ::fork();
  if (pid == 0) {
    std::string text = "cannot have a mount namespace; run as root";
    if (::unshare(CLONE_NEWNS) == 0 &&
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0) {
      text = action();
    }
    const ssize_t ignored = ::write(ends[1], text.data(), text.size());
    ::_exit(ignored < 0 ? 1 : 0);
  }
  ::close(ends[1]);
  std::string text;
  std::array<char, 4096> block{};
  for (ssize_t got = 0; (got = ::read(ends[0], block.data(), block.size())) > 0;) {
    text.append(block.data(), static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  ::waitpid(pid, nullptr, 0);
  return text;
}

bool bind_over(const std::string& from, const char* over) {
  return ::mount(from.c_str(), over, nullptr, MS_BIND, nullptr) == 0;
}

TEST_F(TransferAttack, T8_AFetchedFileHasNoNameAndGetsNone) {
  auto fetched = fetch(protocol::InlineText{"hello"});
  ASSERT_TRUE(fetched);
  EXPECT_TRUE(std::filesystem::is_empty(staging_.path()));
  struct stat info{};
  ASSERT_EQ(::fstat(fetched->file.get(), &info), 0);
  EXPECT_EQ(info.st_nlink, 0U);
  EXPECT_EQ(info.st_mode & 07777U, 0600U);
  const std::string link = "/proc/self/fd/" + std::to_string(fetched->file.get());
  EXPECT_NE(
      ::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, (staging_ / "name").c_str(), AT_SYMLINK_FOLLOW),
      0);
}

TEST_F(TransferAttack, T8_ASourceThatChangesLaterChangesNothing) {
  const TempDir dir;
  write_file(dir / "f", "hello");
  auto fetched = fetch(protocol::FileLocation{dir / "f"});
  ASSERT_TRUE(fetched);
  write_file(dir / "f", "evil!");
  EXPECT_EQ(content_of(*fetched), "hello");
  EXPECT_EQ(*agent::digest_of(fetched->file.get()), fetched->digest);
}

TEST_F(TransferAttack, T9_RefusesBodiesThatEndEarly) {
  const HttpsServer server(authority_, R"({"/short": [{"body": "hello", "send": 3}],
      "/cut": [{"body": "hello", "chunked": true, "drip": [1, 0], "send": 3}],
      "/more": [{"body": "hello", "length": 50}]})");
  for (const std::string path : {"/short", "/cut", "/more"}) {
    const Error error = fetch_error(at(server, path));
    EXPECT_EQ(error.kind, ErrorKind::Transport);
    EXPECT_THAT(error.message, ::testing::StartsWith(server.url(path) + ": 3 attempts; last: "));
  }
}

TEST_F(TransferAttack, T9_RefusesABodyWhoseEndCannotBeKnown) {
  const HttpsServer server(authority_, R"({"/a": [{"body": "hello", "length": null}]})");
  EXPECT_EQ(fetch_error(at(server, "/a")),
            (Error{ErrorKind::Rejected,
                   server.url("/a") + ": the server does not say how long the file is"}));
}

TEST_F(TransferAttack, T9_RefusesLengthsThatContradictOrAreNone) {
  const std::string tail = "\\r\\nConnection: close\\r\\n\\r\\nhello";
  const auto raw = [&](const std::string& lines) {
    return R"([{"raw": "HTTP/1.1 200 OK\r\n)" + lines + tail + "\"}]";
  };
  const HttpsServer server(authority_,
                           "{\"/two\": " + raw("Content-Length: 5\\r\\nContent-Length: 3") +
                               ", \"/minus\": " + raw("Content-Length: -5") +
                               ", \"/text\": " + raw("Content-Length: five") +
                               ", \"/huge\": " + raw("Content-Length: 99999999999999999999999") +
                               ", \"/list\": " + raw("Content-Length: 5, 5") + "}");
  for (const std::string path : {"/two", "/list"}) {
    EXPECT_EQ(fetch_error(at(server, path)),
              (Error{ErrorKind::Transport,
                     server.url(path) +
                         ": 3 attempts; last: the answer's Content-Length is not one number"}));
  }
  for (const std::string path : {"/minus", "/text"}) {
    EXPECT_EQ(
        fetch_error(at(server, path)),
        (Error{ErrorKind::Transport, server.url(path) + ": 3 attempts; last: Weird server reply"}));
  }
  EXPECT_EQ(fetch_error(at(server, "/huge")).kind, ErrorKind::LimitExceeded);
}

TEST_F(TransferAttack, T5_KeepsACompressedBodyAsItCame) {
  const HttpsServer server(
      authority_, R"({"/a": [{"body": "hello", "headers": [["Content-Encoding", "gzip"]]}]})");
  EXPECT_EQ(fetch_text(at(server, "/a")), "hello");
  EXPECT_EQ(server.requests()[0].headers.count("accept-encoding"), 0U);
}

TEST_F(TransferAttack, T5_StopsAtAHeadWithoutEnd) {
  std::string lines;
  for (int i = 0; i < 2000; ++i) {
    lines += "X-" + std::to_string(i) + ": " + std::string(50, 'a') + "\\r\\n";
  }
  const HttpsServer server(authority_,
                           R"({"/a": [{"raw": "HTTP/1.1 200 OK\r\n)" + lines + "\\r\\n\"}]}");
  EXPECT_EQ(fetch_error(at(server, "/a")),
            (Error{ErrorKind::LimitExceeded,
                   server.url("/a") + ": the answer's head is larger than 64 KiB"}));
}

TEST_F(TransferAttack, T5_DoesNotReadAnErrorsEndlessBody) {
  const HttpsServer server(authority_, R"({"/a": [{"status": 404, "size": 50000000000}]})");
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(fetch_error(at(server, "/a")).message, server.url("/a") + ": HTTP 404");
  EXPECT_LT(seconds_since(start), 10.0);
}

TEST_F(TransferAttack, T36_GivesUpOnAServerThatDrips) {
  const HttpsServer server(authority_, R"({"/a": [{"size": 1000, "drip": [1, 0.2]}]})");
  context_.policy.max_attempts = 1;
  tuning_.low_speed_bytes = 100;
  tuning_.low_speed_time = std::chrono::seconds(1);
  EXPECT_EQ(
      fetch_error(at(server, "/a")),
      (Error{ErrorKind::Transport, server.url("/a") + ": slower than 100 bytes a second for 1 s"}));
}

TEST_F(TransferAttack, T36_EndsAtTheDeadlineWhateverTheServerDoes) {
  const HttpsServer server(authority_, R"({"/silent": [{"delay": 30}],
      "/steady": [{"size": 100000000, "drip": [3000, 0.1]}]})");
  context_.policy.timeout_seconds = 1;
  for (const std::string path : {"/silent", "/steady"}) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(fetch_error(at(server, path)),
              (Error{ErrorKind::Timeout, server.url(path) + ": not done in time"}));
    EXPECT_LT(seconds_since(start), 10.0);
  }
}

TEST_F(TransferAttack, T36_BoundsAnUploadThatIsNeverAnswered) {
  const HttpsServer server(authority_,
                           R"({"/hangs": [{"delay": 30}], "/fails": [{"status": 502}]})");
  EXPECT_EQ(upload_text("hello", at(server, "/fails")),
            server.url("/fails") + ": 3 attempts; last: HTTP 502");
  context_.policy.timeout_seconds = 1;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(upload_text("hello", at(server, "/hangs")),
            server.url("/hangs") + ": not done in time");
  EXPECT_LT(seconds_since(start), 10.0);
}

TEST_F(TransferAttack, T36_SeesTheErrorInsideAnS3AnswerOf200) {
  const HttpsServer server(authority_, R"({"/inputs/k": [{"status": 200,
      "body": "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>"}]})");
  protocol::S3Location target;
  target.endpoint = server.url("");
  target.bucket = "inputs";
  target.key = "k";
  target.ca_file = authority_.file();
  EXPECT_EQ(upload_text("hello", target),
            server.url("/inputs/k") + ": HTTP 200 (InternalError), but with an error in its body");
}

TEST_F(TransferAttack, T30_RefusesTheLoopbackHoweverItIsWritten) {
  const HttpsServer server(authority_, R"({"/a": [{"body": "secret"}]})");
  context_.policy.allow.clear();
  context_.policy.allow_http = true;
  const std::string port = std::to_string(server.port());
  for (const std::string host :
       {"127.0.0.1", "localhost", "a.localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
        "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::1]", "0.0.0.0", "[::]"}) {
    protocol::HttpLocation location;
    location.url = "https://" + host + ":" + port + "/a";
    location.ca_file = authority_.file();
    const Error error = fetch_error(location);
    EXPECT_EQ(error.kind, ErrorKind::Denied) << host << ": " << error.message;
    EXPECT_THAT(error.message, ::testing::HasSubstr("no allowed address range names it"));
  }
  for (const std::string host : {"2130706433", "0x7f.1", "0177.0.0.1", "127.1"}) {
    protocol::HttpLocation location;
    location.url = "https://" + host + ":" + port + "/a";
    EXPECT_EQ(fetch_error(location).kind, ErrorKind::InvalidInput) << host;
  }
  EXPECT_EQ(server.requests().size(), 0U);
}

TEST_F(TransferAttack, T30_RefusesMetadataAddressesAtOnce) {
  for (const std::string host : {"169.254.169.254", "[fd00:ec2::254]", "[fd20:ce::254]",
                                 "100.100.100.200", "168.63.129.16", "[64:ff9b::a9fe:a9fe]"}) {
    protocol::HttpLocation location;
    location.url = "http://" + host + "/latest/meta-data/";
    context_.policy.allow_http = true;
    context_.policy.allow = {"0.0.0.0/0", "::/0"};
    const Error error = fetch_error(location);
    EXPECT_EQ(error.kind, ErrorKind::Denied) << host << ": " << error.message;
    EXPECT_THAT(error.message, ::testing::HasSubstr("is a cloud metadata address"));
  }
}

TEST_F(TransferAttack, T30_AnExceptionForOnePortOpensNoOther) {
  const HttpsServer open(authority_, R"({"/a": [{"body": "x"}]})");
  const HttpsServer closed(authority_, R"({"/a": [{"body": "x"}]})");
  context_.policy.allow = {"127.0.0.1/32:" + std::to_string(open.port())};
  EXPECT_EQ(fetch_text(at(open, "/a")), "x");
  EXPECT_EQ(fetch_error(at(closed, "/a")).kind, ErrorKind::Denied);
  EXPECT_EQ(closed.requests().size(), 0U);
}

TEST_F(TransferAttack, T30_ChecksEachAddressThatANameHas) {
  const HttpsServer server(authority_, R"({"/a": [{"body": "x"}]})");
  const TempDir dir;
  write_file(dir / "hosts", "127.0.0.9 rebind.example\n10.255.255.1 rebind.example\n");
  auto location = at(server, "/a");
  location.url = "https://rebind.example:" + std::to_string(server.port()) + "/a";
  context_.policy.allow.clear();
  const std::string refused = with_own_mounts([&]() -> std::string {
    if (!bind_over(dir / "hosts", "/etc/hosts")) return "no bind mount";
    return fetch_text(location);
  });
  EXPECT_THAT(refused, ::testing::ContainsRegex("no allowed address range names it"));
  EXPECT_EQ(server.requests().size(), 0U);
}

TEST_F(TransferAttack, T30_ANameCannotChangeItsAddressBetweenCheckAndConnection) {
  const HttpsServer server(authority_, R"({"/a": [{"status": 503}, {"body": "x"}]})");
  const TempDir dir;
  auto location = at(server, "/a");
  location.url = "https://rebind.example:" + std::to_string(server.port()) + "/a";
  context_.policy.allow = {"127.0.0.1/32"};
  write_file(dir / "hosts", "127.0.0.1 rebind.example\n");
  tuning_.first_wait = tuning_.longest_wait = std::chrono::seconds(2);
  const std::string outcome = with_own_mounts([&]() -> std::string {
    if (!bind_over(dir / "hosts", "/etc/hosts")) return "no bind mount";
    // The name is allowed at the first attempt, and means another address at the second.
    const std::jthread rebind([&] {
      while (server.requests().empty()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      write_file(dir / "hosts", "127.0.0.2 rebind.example\n");
    });
    return fetch_text(location);
  });
  EXPECT_THAT(outcome, ::testing::HasSubstr("its address 127.0.0.2 is a loopback address"));
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(TransferAttack, T31_RefusesRedirectsToWhatWouldBeRefusedAnyway) {
  const HttpsServer plain(R"({"/a": [{"body": "secret"}]})");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"file:///etc/passwd", "the URL's scheme is not https (or http, where that is allowed)"},
      {"gopher://127.0.0.1/", "the URL's scheme is not https (or http, where that is allowed)"},
      {plain.url("/a"), "it leads from https to http"},
      {"https://10.0.0.1/",
       "its address 10.0.0.1 is a private address, and no allowed address "
       "range names it (port 443)"},
      {"https://169.254.169.254/",
       "its address 169.254.169.254 is a cloud metadata address, and "
       "no allowed address range names it (port 443)"},
      {"https://2130706433/",
       "the URL's host is a number that is not written as four decimal numbers"},
      {"https://user:pass@127.0.0.1:{port}/a",
       "the URL holds a user name or password; use a header from a Secret instead"},
      {"/a b", "the URL holds a space or a control character; percent-encode it"},
      {"", "the URL is empty"},
  };
  context_.policy.allow_http = true;
  for (const auto& [target, rule] : cases) {
    const HttpsServer server(
        authority_, R"({"/r": [{"status": 302, "headers": [["Location", ")" + target + "\"]]}]}");
    EXPECT_EQ(fetch_error(at(server, "/r")),
              (Error{ErrorKind::Denied, server.url("/r") + ": redirect 1: " + rule}));
    EXPECT_EQ(server.requests().size(), 1U);
  }
  EXPECT_EQ(plain.requests().size(), 0U);
}

TEST_F(TransferAttack, T31_RefusesTwoRedirectTargets) {
  const HttpsServer server(authority_, R"({"/r": [{"status": 302,
      "headers": [["Location", "/a"], ["Location", "/b"]]}]})");
  EXPECT_EQ(
      fetch_error(at(server, "/r")),
      (Error{ErrorKind::Denied, server.url("/r") + ": the answer names two redirect targets"}));
}

TEST_F(TransferAttack, T31_TakesCredentialsToNoOtherOrigin) {
  const HttpsServer other(authority_, R"({"/x": [{"body": "hello"}]})");
  const HttpsServer server(authority_, R"({
      "/near": [{"status": 302, "headers": [["Location", "/x"]]}],
      "/far": [{"status": 302, "headers": [["Location", ")" +
                                           other.url("/x") + R"("]]}],
      "/x": [{"body": "hello"}]})");
  const TempDir secret;
  write_file(secret / "Authorization", "Bearer CANARY");
  write_file(secret / "X-Api-Key", "CANARY");
  auto location = at(server, "/near");
  location.headers_dir = secret.path();
  EXPECT_EQ(fetch_text(location), "hello");
  location.url = server.url("/far?X-Amz-Signature=CANARY");
  EXPECT_EQ(fetch_text(location), "hello");
  ASSERT_EQ(server.requests().size(), 3U);
  EXPECT_EQ(server.requests()[1].header("authorization"), "Bearer CANARY");
  const auto asked = other.requests();
  ASSERT_EQ(asked.size(), 1U);
  for (const auto& [name, value] : asked[0].headers) {
    EXPECT_EQ(value.find("CANARY"), std::string::npos) << name;
  }
  EXPECT_EQ(asked[0].headers.count("referer"), 0U);
  EXPECT_EQ(asked[0].target, "/x");
}

TEST_F(TransferAttack, T31_CredentialsDoNotComeBackAfterADetour) {
  const HttpsServer server(authority_, R"({"/x": [{"body": "hello"}]})");
  const HttpsServer other(authority_, R"({"/back": [{"status": 302, "headers": [["Location", ")" +
                                          server.url("/x") + "\"]]}]}");
  const HttpsServer first(authority_, R"({"/a": [{"status": 302, "headers": [["Location", ")" +
                                          other.url("/back") + "\"]]}]}");
  const TempDir secret;
  write_file(secret / "Authorization", "Bearer CANARY");
  auto location = at(first, "/a");
  location.headers_dir = secret.path();
  EXPECT_EQ(fetch_text(location), "hello");
  EXPECT_EQ(first.requests()[0].header("authorization"), "Bearer CANARY");
  EXPECT_EQ(server.requests()[0].header("authorization"), "");
}

TEST_F(TransferAttack, T33_RefusesHeadersThatWouldInjectOthers) {
  const HttpsServer server(authority_, R"({"/a": [{"body": "x"}]})");
  const auto refusal = [&](const std::string& name, const std::string& value) {
    const TempDir secret;
    write_file(secret / name, value);
    auto location = at(server, "/a");
    location.headers_dir = secret.path();
    return fetch_error(location);
  };
  const auto invalid = [&](const std::string& rule) {
    return Error{ErrorKind::InvalidInput, server.url("/a") + ": " + rule};
  };
  EXPECT_EQ(refusal("X-A", "CANARY\r\nX-Evil: 1"), invalid("header X-A holds a control character"));
  EXPECT_EQ(refusal("X-A", "CANARY\n\n"), invalid("header X-A holds a control character"));
  EXPECT_EQ(refusal("X-A", std::string("a\0b", 3)),
            invalid("header X-A holds a control character"));
  EXPECT_EQ(refusal("X-A", "\n"), invalid("header X-A is empty"));
  EXPECT_EQ(refusal("X A", "1"),
            invalid("the Secret of headers has a key that is not a header's name"));
  EXPECT_EQ(refusal("X-A: 1\r\nX-Evil", "1"),
            invalid("the Secret of headers has a key that is not a header's name"));
  for (const std::string name : {"Host", "content-length", "Transfer-Encoding", "Connection", "TE",
                                 "Proxy-Authorization", "Expect", "Range"}) {
    EXPECT_EQ(refusal(name, "x"),
              invalid("header " + name + " is not for users to set; remove it from the Secret"));
  }
  EXPECT_EQ(server.requests().size(), 0U);
}

TEST_F(TransferAttack, T33_RefusesAUrlThatWouldInjectHeaders) {
  const TempDir secret;
  write_file(secret / "url", "https://127.0.0.1/a?CANARY\r\nX-Evil: 1");
  protocol::HttpLocation location;
  location.url_file = secret / "url";
  EXPECT_EQ(fetch_error(location),
            (Error{ErrorKind::InvalidInput,
                   "in the Secret: the URL holds a space or a control character; "
                   "percent-encode it"}));
}

TEST_F(TransferAttack, T34_AnswersFromAnotherRegionAreErrorsThatNameIt) {
  const HttpsServer server(authority_, R"({
      "/inputs/k": [{"status": 301, "headers": [["x-amz-bucket-region", "eu-west-1"],
                                                ["Location", "https://127.0.0.1:{port}/other"]]}],
      "/inputs/e": [{"status": 307, "headers": [["x-amz-bucket-region", "<b>CANARY 1</b>"],
                                                ["Location", "https://127.0.0.1:{port}/other"]]}],
      "/other": [{"body": "hello"}]})");
  protocol::S3Location location;
  location.endpoint = server.url("");
  location.bucket = "inputs";
  location.key = "k";
  location.ca_file = authority_.file();
  EXPECT_EQ(
      fetch_error(location),
      (Error{ErrorKind::Rejected,
             server.url("/inputs/k") + ": HTTP 301; the bucket is in region eu-west-1, set that"}));
  location.key = "e";
  EXPECT_EQ(fetch_error(location),
            (Error{ErrorKind::Rejected, server.url("/inputs/e") + ": HTTP 307"}));
  EXPECT_EQ(server.requests().size(), 2U);
}

TEST_F(TransferAttack, T34_AKeyWithDotsReachesTheServerAsItIsAndLeavesNoBucket) {
  const HttpsServer server(authority_, R"({"/inputs/../other/%2e": [{"body": "x"}],
      "/inputs/../other/%252e": [{"body": "hello"}]})");
  protocol::S3Location location;
  location.endpoint = server.url("");
  location.bucket = "inputs";
  location.key = "../other/%2e";
  location.ca_file = authority_.file();
  EXPECT_EQ(fetch_text(location), "hello");
  EXPECT_EQ(server.requests()[0].target, "/inputs/../other/%252e");
}

TEST_F(TransferAttack, T34_ARealStoreRefusesAKeyThatClimbsOutOfItsBucket) {
  S3Server server;
  context_.policy.allow_http = true;
  server.put("versions", "private", "CANARY");
  protocol::S3Location location;
  location.endpoint = server.endpoint();
  location.bucket = "inputs";
  location.key = "../versions/private";
  location.credentials_dir = server.credentials_dir();
  const Error error = fetch_error(location);
  EXPECT_EQ(error.kind, ErrorKind::Rejected) << error.message;
}

TEST_F(TransferAttack, T34_ARealStoreRefusesAPayloadThatIsNotTheSignedOne) {
  S3Server server;
  context_.policy.allow_http = true;
  auto payload = fetch(protocol::InlineText{"hello"});
  ASSERT_TRUE(payload);
  protocol::S3Location target;
  target.endpoint = server.endpoint();
  target.bucket = "inputs";
  target.key = "k";
  target.credentials_dir = server.credentials_dir();
  const std::string other = "sha256:" + std::string(64, 'a');
  auto done = agent::upload(payload->file.get(), 5, other, "text/plain", target,
                            agent::UploadContext{context_.policy, {}, {}}, tuning_);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error(), (Error{ErrorKind::Rejected, server.endpoint() + "/inputs/k: HTTP 400"}));
}

TEST_F(TransferAttack, T35_RefusesCertificatesItCannotTrace) {
  const CertificateAuthority stranger;
  const HttpsServer unknown(stranger, R"({"/a": [{"body": "x"}]})");
  const HttpsServer self(authority_, R"({"/a": [{"body": "x"}]})",
                         HttpsServer::Certificate::SelfSigned);
  const HttpsServer elsewhere(authority_, R"({"/a": [{"body": "x"}]})",
                              HttpsServer::Certificate::OtherHost);
  const auto refused = [](const HttpsServer& server, const std::string& cause) {
    return Error{ErrorKind::Denied,
                 server.url("/a") + ": the server's certificate is refused: " + cause};
  };
  EXPECT_EQ(fetch_error(at(unknown, "/a")),
            refused(unknown, "unable to get local issuer certificate"));
  EXPECT_EQ(fetch_error(at(self, "/a")), refused(self, "self-signed certificate"));
  EXPECT_EQ(fetch_error(at(elsewhere, "/a")), refused(elsewhere, "it is not for this host"));
  EXPECT_EQ(unknown.requests().size() + self.requests().size() + elsewhere.requests().size(), 0U);
}

TEST_F(TransferAttack, T35_AnAuthorityOfOnesOwnReplacesTheSystems) {
  const CertificateAuthority own;
  const HttpsServer server(authority_, R"({"/a": [{"body": "hello"}]})");
  auto location = at(server, "/a");
  const TempDir roots;  // the system's roots, with the server's authority as the only one
  write_file(roots / "ca-certificates.crt", read_file(authority_.file()));
  const std::string hash = run_program(
      {"/usr/bin/openssl", "x509", "-noout", "-subject_hash", "-in", authority_.file()});
  std::filesystem::copy_file(authority_.file(), roots / (hash.substr(0, 8) + ".0"));
  const auto ask = [&](const std::string& ca_file) {
    location.ca_file = ca_file;
    return with_own_mounts([&]() -> std::string {
      if (!bind_over(roots.path(), "/etc/ssl/certs")) return "no bind mount";
      return fetch_text(location);
    });
  };
  EXPECT_EQ(ask(""), "hello");
  EXPECT_EQ(ask(own.file()), "error: " + server.url("/a") +
                                 ": the server's certificate is refused: unable to get local "
                                 "issuer certificate");
}

TEST_F(TransferAttack, T35_ACaFileThatCannotBeUsedIsAnError) {
  const HttpsServer server(authority_, R"({"/a": [{"body": "x"}]})");
  auto location = at(server, "/a");
  location.ca_file = "/dev/null";
  EXPECT_EQ(fetch_error(location),
            (Error{ErrorKind::InvalidInput,
                   server.url("/a") + ": the file of CA certificates cannot be used"}));
}

TEST_F(TransferAttack, T30_TakesNoProxyAndNoNetrcFromItsSurroundings) {
  const HttpsServer proxy(R"({})");
  const HttpsServer server(authority_, R"({"/a": [{"body": "hello"}]})");
  const TempDir home;
  write_file(home / ".netrc", "machine 127.0.0.1 login CANARY password CANARY\n");
  const std::string outcome = with_own_mounts([&] {
    ::setenv("HOME", home.path().c_str(), 1);
    for (const char* name :
         {"https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"}) {
      ::setenv(name, proxy.url("").c_str(), 1);
    }
    return fetch_text(at(server, "/a"));
  });
  EXPECT_EQ(outcome, "hello");
  EXPECT_EQ(server.requests()[0].headers.count("authorization"), 0U);
  EXPECT_EQ(proxy.requests().size(), 0U);
}

/// Makes O_TMPFILE fail as it does on gVisor's tmpfs. Low word of the flags, little-endian.
bool forbid_tmpfiles() {
  std::array<sock_filter, 6> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_F(TransferAttack, T8_StagesWithoutANameWhereTmpfilesCannotBeMade) {
  const std::string outcome = with_own_mounts([&]() -> std::string {
    if (!forbid_tmpfiles()) return "no seccomp";
    if (::open(staging_.path().c_str(), O_TMPFILE | O_RDWR, 0600) >= 0) return "O_TMPFILE works";
    auto fetched = fetch(protocol::InlineText{"hello"});
    if (!fetched) return fetched.error().message;
    struct stat info{};
    if (::fstat(fetched->file.get(), &info) != 0 || info.st_nlink != 0) return "it has a name";
    return std::filesystem::is_empty(staging_.path()) ? content_of(*fetched) : "a name was left";
  });
  EXPECT_EQ(outcome, "hello");
}

TEST_F(TransferAttack, ADiskThatIsFullIsAnErrorAndNotAnotherAttempt) {
  const HttpsServer server(authority_, R"({"/a": [{"size": 5000000}]})");
  const std::string outcome = with_own_mounts([&]() -> std::string {
    if (::mount("tmpfs", staging_.path().c_str(), "tmpfs", 0, "size=1m") != 0) return "no tmpfs";
    return fetch_text(at(server, "/a"));
  });
  EXPECT_EQ(outcome, "error: " + server.url("/a") +
                         ": writing to the staging folder: No space left on device");
  EXPECT_EQ(server.requests().size(), 1U);
}

/// A server that fails in every way that there is, and repeats what it was told where it can.
constexpr const char* kFailures = R"({
    "/503": [{"status": 503, "body": "CANARY"}],
    "/403": [{"status": 403, "body": "<Error><Code>CANARY 1</Code><Message>CANARY</Message></Error>"}],
    "/cut": [{"body": "hello", "send": 3}], "/hang-up": [{"hang_up": true}],
    "/garbage": [{"raw": "CANARY\r\n\r\n"}], "/status": [{"raw": "HTTP/1.1 CANARY\r\n\r\n"}],
    "/reason": [{"raw": "HTTP/1.1 404 CANARY\r\nContent-Length: 0\r\n\r\n"}],
    "/length": [{"body": "x", "length": "CANARY"}], "/no-length": [{"body": "x", "length": null}],
    "/huge": [{"body": "x", "length": 99999999}], "/slow": [{"delay": 9}],
    "/file": [{"status": 302, "headers": [["Location", "file:///CANARY"]]}],
    "/bad": [{"status": 302, "headers": [["Location", "https://CANARY@CANARY/"]]}],
    "/name": [{"status": 302, "headers": [["Location", "https://canary.invalid/CANARY?CANARY"]]}],
    "/private": [{"status": 302, "headers": [["Location", "https://10.0.0.1/CANARY?CANARY"]]}],
    "/loop": [{"status": 302, "headers": [["Location", "/loop?CANARY"]]}]})";

TEST_F(TransferAttack, T28_NoMessageHoldsASecret) {
  const HttpsServer server(authority_, kFailures);
  const TempDir secret;
  write_file(secret / "Authorization", "Bearer CANARY");
  context_.policy.max_bytes = 1000;
  context_.policy.timeout_seconds = 3;
  context_.policy.max_attempts = 2;
  const std::string query = "?X-Amz-Signature=CANARY";
  for (const std::string path :
       {"/503", "/403", "/cut", "/hang-up", "/garbage", "/status", "/reason", "/length",
        "/no-length", "/huge", "/slow", "/file", "/bad", "/name", "/private", "/loop"}) {
    write_file(secret.path().string() + "-url", server.url(path + query));
    auto plain = at(server, path + query);
    plain.headers_dir = secret.path();
    auto hidden = plain;
    hidden.url.clear();
    hidden.url_file = secret.path().string() + "-url";
    const std::string shown =
        "127.0.0.1:" + std::to_string(server.port()) + " (URL from a Secret): ";
    const Error first = fetch_error(plain);
    const Error second = fetch_error(hidden);
    EXPECT_NE(first.kind, ErrorKind::Internal) << path << first.message;
    EXPECT_THAT(first.message, ::testing::StartsWith(server.url(path) + ": "));
    EXPECT_THAT(second.message, ::testing::StartsWith(shown));
    const std::string sent = upload_text("hello", hidden);
    for (const std::string& message : {first.message, second.message, sent}) {
      EXPECT_THAT(message, ::testing::Not(::testing::ContainsRegex("[cC][aA][nN][aA][rR][yY]")))
          << path;
      EXPECT_THAT(message, ::testing::Not(::testing::HasSubstr("Signature"))) << path;
    }
  }
  std::filesystem::remove(secret.path().string() + "-url");
}

TEST_F(TransferAttack, T28_NoMessageHoldsAKeyOfS3) {
  const HttpsServer server(authority_, R"({"/inputs/403": [{"status": 403,
      "body": "<Error><Code>Bad CANARY</Code><AWSAccessKeyId>CANARY</AWSAccessKeyId></Error>"}],
      "/inputs/503": [{"status": 503}], "/inputs/cut": [{"hang_up": true}]})");
  const TempDir keys;
  for (const std::string name :
       {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}) {
    write_file(keys / name, "CANARY");
  }
  for (const std::string key : {"403", "503", "cut"}) {
    protocol::S3Location location;
    location.endpoint = server.url("");
    location.bucket = "inputs";
    location.key = key;
    location.version_id = "CANARY";
    location.credentials_dir = keys.path();
    location.ca_file = authority_.file();
    for (const std::string& message : {fetch_error(location).message, upload_text("x", location)}) {
      EXPECT_THAT(message, ::testing::StartsWith(server.url("/inputs/" + key) + ": "));
      EXPECT_THAT(message, ::testing::Not(::testing::HasSubstr("CANARY")));
    }
  }
}

}  // namespace
}  // namespace sandboxrun::test
