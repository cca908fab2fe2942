#include "sandbox-image/agent/sigv4.h"

#include <gtest/gtest.h>

#include <string>

#include "sandbox-image/agent/s3.h"

namespace sandboxrun::agent {
namespace {

// The examples of "Authenticating Requests: Using the Authorization Header (AWS Signature Version
// 4)", Amazon S3 API Reference.
AwsCredentials example_credentials() {
  return {Secret("AKIAIOSFODNN7EXAMPLE"), Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
          Secret()};
}
const SigningScope kExampleScope{.region = "us-east-1", .timestamp = "20130524T000000Z"};

std::string signature(const SignedParts& parts, const SigningScope& scope = kExampleScope,
                      const AwsCredentials& credentials = example_credentials()) {
  const Secret value = authorization(parts, scope, credentials);
  const std::string text(value.reveal());
  return text.substr(text.find("Signature=") + 10);
}

SignedParts example_get(const std::string& path, const NameValues& query) {
  return {.method = "GET",
          .path = path,
          .query = query,
          .headers = {{"Host", "examplebucket.s3.amazonaws.com"},
                      {"x-amz-content-sha256", std::string(kEmptySha256)},
                      {"x-amz-date", "20130524T000000Z"}},
          .payload_sha256 = std::string(kEmptySha256)};
}

TEST(SignatureV4, T34_SignsThePublishedGetObject) {
  SignedParts parts = example_get("/test.txt", {});
  parts.headers.emplace_back("Range", "bytes=0-9");
  EXPECT_EQ(authorization(parts, kExampleScope, example_credentials()).reveal(),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SignatureV4, T34_SignsThePublishedPutObject) {
  const std::string payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
  const SignedParts parts{.method = "PUT",
                          .path = "/" + uri_encode("test$file.text", false),
                          .query = {},
                          .headers = {{"Host", "examplebucket.s3.amazonaws.com"},
                                      {"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                                      {"x-amz-date", "20130524T000000Z"},
                                      {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                                      {"x-amz-content-sha256", payload}},
                          .payload_sha256 = payload};
  EXPECT_EQ(signature(parts), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(SignatureV4, T34_SignsAQueryWithoutAndWithValues) {
  EXPECT_EQ(signature(example_get("/", {{"lifecycle", ""}})),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  // Given unsorted on purpose.
  EXPECT_EQ(signature(example_get("/", {{"prefix", "J"}, {"max-keys", "2"}})),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

// From the AWS Signature Version 4 test suite: get-vanilla-query-order-key-case and
// post-sts-header-before.
const SigningScope kSuiteScope{
    .region = "us-east-1", .service = "service", .timestamp = "20150830T123600Z"};

AwsCredentials suite_credentials(const std::string& token) {
  return {Secret("AKIDEXAMPLE"), Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), Secret(token)};
}

TEST(SignatureV4, T34_AgreesWithTheTestSuiteOnSortedQueries) {
  const SignedParts parts{
      .method = "GET",
      .path = "/",
      .query = {{"Param2", "value2"}, {"Param1", "value1"}},
      .headers = {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}},
      .payload_sha256 = std::string(kEmptySha256)};
  EXPECT_EQ(signature(parts, kSuiteScope, suite_credentials("")),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

TEST(SignatureV4, T34_AgreesWithTheTestSuiteOnSessionTokens) {
  const std::string token =
      "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpS"
      "PfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDY"
      "wT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqK"
      "mlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
  const SignedParts parts{.method = "POST",
                          .path = "/",
                          .query = {},
                          .headers = {{"Host", "example.amazonaws.com"},
                                      {"X-Amz-Date", "20150830T123600Z"},
                                      {"X-Amz-Security-Token", token}},
                          .payload_sha256 = std::string(kEmptySha256)};
  EXPECT_EQ(signature(parts, kSuiteScope, suite_credentials(token)),
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead");
}

TEST(SignatureV4, EncodesAsAwsDoes) {
  EXPECT_EQ(uri_encode("AZaz09-._~", true), "AZaz09-._~");
  EXPECT_EQ(uri_encode("a b+c/d%2F\xC3\xA9*", true), "a%20b%2Bc%2Fd%252F%C3%A9%2A");
  EXPECT_EQ(uri_encode("a/../b", false), "a/../b");
  EXPECT_EQ(amz_timestamp(1369353600), "20130524T000000Z");
}

TEST(SignatureV4, TrimsAndFoldsHeaderValues) {
  SignedParts parts = example_get("/", {});
  parts.headers = {{"My-Header", "  a   b "}, {"Host", "h"}};
  EXPECT_EQ(canonical_request(parts),
            "GET\n/\n\nhost:h\nmy-header:a b\n\nhost;my-header\n" + std::string(kEmptySha256));
}

std::string url_of(const protocol::S3Location& location) {
  auto url = s3_object_url(location);
  return url ? url->text() : url.error().message;
}

protocol::S3Location object(const std::string& endpoint, const std::string& key) {
  protocol::S3Location location;
  location.endpoint = endpoint;
  location.region = "eu-west-1";
  location.bucket = "my-bucket";
  location.key = key;
  return location;
}

TEST(S3Url, PathStyleUnderAnEndpointVirtualHostOtherwise) {
  EXPECT_EQ(url_of(object("https://s3.lab:9000", "a/b.txt")),
            "https://s3.lab:9000/my-bucket/a/b.txt");
  EXPECT_EQ(url_of(object("https://my-bucket.s3.lab/", "a")), "https://my-bucket.s3.lab/a");
  EXPECT_EQ(url_of(object("", "a")), "https://my-bucket.s3.eu-west-1.amazonaws.com/a");
  auto dotted = object("", "a");
  dotted.bucket = "my.bucket";
  EXPECT_EQ(url_of(dotted), "https://s3.eu-west-1.amazonaws.com/my.bucket/a");
  auto versioned = object("https://s3", "a");
  versioned.version_id = "v/1+";
  EXPECT_EQ(url_of(versioned), "https://s3/my-bucket/a?versionId=v%2F1%2B");
  auto china = object("", "a");
  china.region = "cn-north-1";
  EXPECT_EQ(url_of(china), "https://my-bucket.s3.cn-north-1.amazonaws.com.cn/a");
}

TEST(S3Url, T34_KeysAreNamesNotPathsAndAreEncodedOnce) {
  EXPECT_EQ(url_of(object("https://s3", "../other/%2e%2e/x?y#z")),
            "https://s3/my-bucket/../other/%252e%252e/x%3Fy%23z");
  EXPECT_EQ(url_of(object("https://s3", "a\r\nHost: evil")),
            "S3 key: not 1 to 1024 bytes without control characters");
  EXPECT_EQ(url_of(object("https://s3", "")),
            "S3 key: not 1 to 1024 bytes without control characters");
  EXPECT_EQ(url_of(object("https://s3", std::string(1025, 'a'))),
            "S3 key: not 1 to 1024 bytes without control characters");
}

TEST(S3Url, T34_RefusesBucketsThatLeaveTheirPlace) {
  for (const std::string bucket :
       {"", "ab", "..", "a/b", "../x", "Bucket", "a..b", "-ab", "ab.", "a b c", "a@b",
        "0123456789012345678901234567890123456789012345678901234567890123"}) {
    auto location = object("https://s3", "k");
    location.bucket = bucket;
    EXPECT_EQ(url_of(location),
              "S3 bucket: not 3 to 63 lower-case letters, digits, '-' and single '.'")
        << bucket;
  }
}

TEST(S3Url, RefusesRegionsAndEndpointsThatAreNotThose) {
  auto location = object("", "k");
  location.region = "x.evil.org/";
  EXPECT_EQ(url_of(location), "S3 region: not 1 to 32 lower-case letters, digits and '-'");
  EXPECT_EQ(url_of(object("https://s3/base", "k")), "S3 endpoint: it has a path or a query");
  EXPECT_EQ(url_of(object("https://s3/?x", "k")), "S3 endpoint: it has a path or a query");
  EXPECT_EQ(url_of(object("s3.lab", "k")), "S3 endpoint: the URL does not begin with https://");
}

TEST(S3Error, T23_ShowsOnlyACodeOfLetters) {
  EXPECT_EQ(s3_error_code("<?xml?><Error><Code>NoSuchKey</Code></Error>"), "NoSuchKey");
  EXPECT_EQ(s3_error_code("<Error><Message>x</Message><Code>Ab</Code>"), "Ab");
  EXPECT_EQ(s3_error_code("<Error><Code>No Such</Code></Error>"), std::nullopt);
  EXPECT_EQ(s3_error_code("<Error><Code>\x1b[2J</Code></Error>"), std::nullopt);
  EXPECT_EQ(s3_error_code("<Error><Code></Code></Error>"), std::nullopt);
  EXPECT_EQ(s3_error_code("<Error><Code>Open"), std::nullopt);
  EXPECT_EQ(s3_error_code("<Error><Code>" + std::string(65, 'a') + "</Code>"), std::nullopt);
  EXPECT_EQ(s3_error_code("<Code>NoError</Code>"), std::nullopt);
}

}  // namespace
}  // namespace sandboxrun::agent
