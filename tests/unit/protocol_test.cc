#include <gtest/gtest.h>

#include <random>

#include "sandbox-image/protocol/guard_record.h"
#include "sandbox-image/protocol/report.h"
#include "sandbox-image/protocol/work_order.h"

namespace sandboxrun::protocol {
namespace {

std::string hex_digest(char digit) {
  return "sha256:" + std::string(64, digit);
}

PrepareOrder full_order() {
  PrepareOrder order;
  order.transfer = {.allow = {"127.0.0.0/8:8443"},
                    .allow_http = true,
                    .max_attempts = 3,
                    .connect_timeout_seconds = 4,
                    .timeout_seconds = 5,
                    .max_bytes = 6};
  order.directories = {{.path = "/work/a", .mode = 0755}};
  order.environment = EnvironmentOrder{
      .source = HttpLocation{.url_file = "/secrets/url", .headers_dir = "/h", .ca_file = "/ca"},
      .digest = hex_digest('a'),
      .format = ArchiveFormat::TarZstd,
      .destination = "/env",
      .limits = {.max_bytes = 7, .max_entries = 8, .max_depth = 9}};
  order.assets = {
      {.name = "s3",
       .source = S3Location{.endpoint = "https://s3.test",
                            .region = "r",
                            .bucket = "b",
                            .key = "k\"",
                            .version_id = "v",
                            .credentials_dir = "/c",
                            .ca_file = ""},
       .destination = "/work/x",
       .digest = hex_digest('b'),
       .unpack = true,
       .read_only = false,
       .mode = 0644,
       .limits = {}},
      {.name = "file",
       .source = FileLocation{"/mnt/cm/key"},
       .destination = "/work/y",
       .digest = "",
       .limits = {}},
      {.name = "inline",
       .source = InlineText{"a\nb"},
       .destination = "/work/z",
       .digest = "",
       .limits = {}},
  };
  order.pixi_unpack = "/usr/bin/pixi-unpack";
  return order;
}

TEST(WorkOrder, PrepareSurvivesARoundTrip) {
  const PrepareOrder order = full_order();
  auto decoded = decode_prepare_order(encode(order));
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(*decoded, order);
}

TEST(WorkOrder, CollectSurvivesARoundTrip) {
  CollectOrder order{.transfer = {},
                     .path = "/results",
                     .format = ArchiveFormat::TarZstd,
                     .max_bytes = 1,
                     .max_entries = 2,
                     .timeout_seconds = 3,
                     .target = HttpLocation{.url = "https://h/p"}};
  auto decoded = decode_collect_order(encode(order));
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(*decoded, order);
}

std::string order_error(std::string_view json) {
  auto order = decode_prepare_order(json);
  return order ? "" : order.error().message;
}

TEST(WorkOrder, RefusesWhatItDoesNotKnowByItsPath) {
  EXPECT_EQ(order_error(R"({"v":2})"),
            "prepare order: version \"2\" not known, this program reads version 1");
  EXPECT_EQ(order_error(R"({"assets":[]})"),
            "prepare order: version missing, this program reads version 1");
  EXPECT_EQ(order_error(R"({"v":1,"assets":[{"nam":"x"}]})"),
            "prepare order: assets[0].nam: unknown member");
  EXPECT_EQ(order_error(R"({"v":1,"assets":[{"name":7}]})"),
            "prepare order: assets[0].name: expected a string");
  EXPECT_EQ(order_error(R"({"v":1,"assets":[{"source":{}}]})"),
            "prepare order: assets[0].source: give exactly one kind of location");
  EXPECT_EQ(order_error(R"({"v":1,"environment":{"source":{"http":{"url":"u"}}}})"),
            "prepare order: environment.digest: required");
  EXPECT_EQ(order_error(R"({"v":1,"assets":[{"mode":2048}]})"),
            "prepare order: assets[0].mode: permission bits must be within 0 to 0777");
}

TEST(Report, SurvivesARoundTrip) {
  PrepareReport report;
  report.environment = Placed{.digest = "", .bytes = 48'200'000, .entries = 2014};
  report.assets = {{.digest = hex_digest('c'), .bytes = 7, .entries = 0},
                   {.digest = "", .bytes = 0, .entries = 0}};
  report.milliseconds = 912;
  auto decoded = decode_prepare_report(encode(report));
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(*decoded, report);
}

TEST(Report, FailureSurvivesARoundTrip) {
  CollectReport report;
  report.failure = ReportFailure{.subject = Subject::Results,
                                 .step = Step::Upload,
                                 .kind = ErrorKind::Rejected,
                                 .message = "HTTP 403"};
  report.digest = hex_digest('d');
  report.bytes = 5;
  report.entries = 2;
  auto decoded = decode_collect_report(encode(report));
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(*decoded, report);
}

TEST(Report, TheLargestReportFitsATerminationMessage) {
  PrepareReport report;
  report.environment =
      Placed{.digest = hex_digest('f'), .bytes = std::int64_t{1} << 40, .entries = 4'000'000};
  for (int i = 0; i < 64; ++i) {
    report.assets.push_back(
        {.digest = hex_digest('e'), .bytes = (std::int64_t{1} << 40) - 1, .entries = 4'000'000});
  }
  report.milliseconds = std::int64_t{1} << 40;
  const std::string text = encode(report);
  EXPECT_LE(text.size(), kMaxReportBytes);
  EXPECT_EQ(decode_prepare_report(text)->assets, report.assets);
}

TEST(Report, AnyMessageIsShortenedToFitAndStaysValid) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    PrepareReport report;
    for (int i = 0; i < 64; ++i) {
      report.assets.push_back({.digest = "", .bytes = std::int64_t{1} << 40, .entries = 4'000'000});
    }
    std::string message;
    for (auto i = random() % 9000; i > 0; --i) message += static_cast<char>(random() % 256);
    report.failure = ReportFailure{.subject = Subject::Asset,
                                   .index = 63,
                                   .step = Step::Verify,
                                   .kind = ErrorKind::DigestMismatch,
                                   .message = message,
                                   .expected = hex_digest('0'),
                                   .found = hex_digest('1')};
    const std::string text = encode(report);
    ASSERT_LE(text.size(), kMaxReportBytes);
    auto decoded = decode_prepare_report(text);
    ASSERT_TRUE(decoded) << decoded.error().message;
    EXPECT_EQ(decoded->failure->expected, hex_digest('0'));
    EXPECT_EQ(decoded->assets.size(), 64U);
  }
}

TEST(Report, T23_RefusesAnythingElse) {
  for (const char* text : {"", "{}", "{\"v\":1", "x", "{\"v\":1,\"assets\":[\"-1\"]}",
                           "{\"v\":1,\"assets\":[\"1.1.abc\"]}", "{\"v\":1,\"extra\":1}",
                           "{\"v\":1,\"failure\":{\"subject\":\"x\"}}"}) {
    EXPECT_FALSE(decode_prepare_report(text)) << text;
  }
  EXPECT_FALSE(decode_collect_report("{\"v\":1,\"assets\":[]}"));
}

TEST(GuardRecord, ReadsTheDocumentedExample) {
  auto record = decode_guard_record(
      R"({"v":1,"token":"4f0c","stage":"run","cause":"exited","code":7,"started":true,)"
      R"("childCode":7,"features":{"noNewPrivs":"yes","landlock":7},"detail":"",)"
      R"("message":"first line\nsecond line"})"
      "\n");
  ASSERT_TRUE(record) << record.error().message;
  EXPECT_EQ(record->token, "4f0c");
  EXPECT_EQ(record->stage, GuardStage::Run);
  EXPECT_EQ(record->cause, GuardCause::Exited);
  EXPECT_EQ(record->code, 7);
  EXPECT_EQ(record->child_code, 7);
  EXPECT_EQ(record->signal, 0);
  EXPECT_TRUE(record->started);
  EXPECT_EQ(record->message, "first line\nsecond line");
  EXPECT_EQ(record->features.at("landlock"), "7");
}

TEST(GuardRecord, T23_RefusesForgeries) {
  for (const char* text :
       {"", "{\"v\":1}", "{\"v\":1,\"stage\":\"run\",\"cause\":\"won\",\"code\":0}",
        "{\"v\":1,\"stage\":\"run\",\"cause\":\"exited\",\"code\":256}",
        "{\"v\":1,\"stage\":\"run\",\"cause\":\"exited\",\"code\":0}{}"}) {
    EXPECT_FALSE(decode_guard_record(text)) << text;
  }
}

}  // namespace
}  // namespace sandboxrun::protocol
