#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <expected>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "operator/kube/list_scanner.h"
#include "operator/kube/projection.h"

namespace sandboxrun::kube {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(WatchReader, ReadsMetadataInAnyOrderOfFields) {
  WatchReader reader;
  const std::string line =
      R"({"object":{"status":{"metadata":{"name":"no"}},"metadata":{"resourceVersion":"12",)"
      R"("ownerReferences":[{"uid":"u1"},{"controller":true,"uid":"u2"},{"uid":"u3","controller":false}],)"
      R"("managedFields":[{"name":"no"}],"uid":"u","namespace":"ns","name":"a"},"spec":{}},"type":"MODIFIED"})";
  const Input input = reader.read_event(line);
  ASSERT_TRUE(std::holds_alternative<WatchItem>(input));
  const auto& event = std::get<WatchItem>(input);
  EXPECT_EQ(event.type, WatchItem::Type::Modified);
  EXPECT_EQ(event.item.meta, (ObjectMeta{{"ns", "a"}, "u", "12", "u2"}));
  EXPECT_TRUE(event.item.json.starts_with(R"({"status")"));
  EXPECT_TRUE(event.item.json.ends_with(R"("spec":{}})"));
}

TEST(WatchReader, BracketsAndQuotesInStringsDoNotEndAnObject) {
  WatchReader reader;
  const Input input = reader.read_event(
      R"({"type":"ADDED","object":{"spec":{"x":"}]\"{\\"},"metadata":{"name":"a","resourceVersion":"1"}}})");
  ASSERT_TRUE(std::holds_alternative<WatchItem>(input));
  EXPECT_EQ(std::get<WatchItem>(input).item.meta.name.name, "a");
}

TEST(WatchReader, TellsTheBookmarkThatEndsTheInitialEvents) {
  WatchReader reader;
  const Input end = reader.read_event(
      R"({"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"9",)"
      R"("annotations":{"k8s.io/initial-events-end":"true"}}}})");
  ASSERT_TRUE(std::holds_alternative<Bookmark>(end));
  EXPECT_EQ(std::get<Bookmark>(end).resource_version, "9");
  EXPECT_TRUE(std::get<Bookmark>(end).initial_events_end);
  const Input other = reader.read_event(
      R"({"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"9"}}})");
  EXPECT_FALSE(std::get<Bookmark>(other).initial_events_end);
}

TEST(WatchReader, AnErrorEventIsTheErrorOfItsStatus) {
  WatchReader reader;
  const Input input = reader.read_event(
      R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}})");
  ASSERT_TRUE(std::holds_alternative<WatchError>(input));
  EXPECT_EQ(std::get<WatchError>(input).error.kind, ErrorKind::Gone);
}

class BadEvent : public testing::TestWithParam<std::pair<const char*, const char*>> {};
TEST_P(BadEvent, IsUnreadableAndSaysWhy) {
  WatchReader reader;
  const Input input = reader.read_event(GetParam().first);
  ASSERT_TRUE(std::holds_alternative<Unreadable>(input));
  EXPECT_THAT(std::get<Unreadable>(input).why, HasSubstr(GetParam().second));
}
INSTANTIATE_TEST_SUITE_P(
    WatchReader, BadEvent,
    testing::Values(
        std::pair{"", "not a JSON object"}, std::pair{"[]", "not a JSON object"},
        std::pair{"{}", "it has no type"}, std::pair{R"({"type":"ADDED"})", "it has no object"},
        std::pair{R"({"type":"ADDED","object":[]})", "it has no object"},
        std::pair{R"({"type":"ADDED","object":{"metadata":{"name":"a")", "has no end"},
        std::pair{R"({"type":"ADDED","object":{}} x)", "something follows"},
        std::pair{R"({"type":"ADDED","object":{}})", "no metadata"},
        std::pair{R"({"type":"ADDED","object":{"metadata":7}})", "metadata is not an object"},
        std::pair{R"({"type":"ADDED","object":{"metadata":{"name":7}}})", "metadata.name"},
        std::pair{R"({"type":"ADDED","object":{"metadata":{"uid":"u"}}})", "metadata.name"},
        std::pair{R"({"type":"NEW","object":{"metadata":{"name":"a"}}})", "type"}));

TEST(WatchReader, EveryBeginningOfAnEventIsUnreadableAndNothingWorse) {
  const std::string line =
      R"({"type":"ADDED","object":{"metadata":{"name":"a\"b","uid":"u","resourceVersion":"1"},"x":[1,{"y":null}]}})";
  WatchReader reader;
  for (std::size_t size = 0; size < line.size(); ++size) {
    EXPECT_TRUE(std::holds_alternative<Unreadable>(reader.read_event(line.substr(0, size))))
        << size;
  }
  EXPECT_TRUE(std::holds_alternative<WatchItem>(reader.read_event(line)));
}

struct ReadList {
  ListPage page;
  std::vector<std::string> names;
  std::vector<std::string> items;
  std::vector<std::string> skipped;
};

// Gives the body in pieces of that size.
Result<ReadList> read_list(WatchReader& reader, std::string_view body, std::size_t piece) {
  ReadList out;
  const WatchReader::ListSink sink{
      .item =
          [&](const Item& item) {
            out.names.push_back(item.meta.name.name);
            out.items.emplace_back(item.json);
          },
      .skipped = [&](const std::string& why) { out.skipped.push_back(why); }};
  Result<void> readable;
  for (; !body.empty() && readable; body.remove_prefix(std::min(piece, body.size()))) {
    readable = reader.read_list(body.substr(0, piece), sink);
  }
  auto page = reader.end_list();
  if (!readable) return std::unexpected(readable.error());
  if (!page) return std::unexpected(page.error());
  out.page = std::move(*page);
  return out;
}

Result<ReadList> read_list(std::string_view body) {
  WatchReader reader;
  return read_list(reader, body, body.size());
}

// A quote, brackets and a backslash in strings, so that each piece may end within one of them.
const std::string kItemA =
    R"({"metadata":{"name":"a","resourceVersion":"3"},"x":"\"]}\\",  "y":[1,{"z":null}]})";
const std::string kItemB = R"({"metadata":{"name":"b","resourceVersion":"5"}})";

TEST(WatchReader, ReadsAListInPiecesOfAnySize) {
  const std::string body =
      R"({"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"t"},)"
      R"("items":[ )" +
      kItemA + " , " + kItemB + "]}\n";
  WatchReader reader;
  for (std::size_t piece = 1; piece <= body.size(); ++piece) {
    const auto list = read_list(reader, body, piece);
    ASSERT_TRUE(list.has_value()) << piece << ": " << list.error().message;
    EXPECT_EQ(list->page.resource_version, "7");
    EXPECT_EQ(list->page.continue_token, "t");
    EXPECT_THAT(list->items, ElementsAre(kItemA, kItemB)) << piece;
    EXPECT_THAT(list->names, ElementsAre("a", "b"));
  }
}

TEST(WatchReader, AListsMetadataMayFollowItsItems) {
  const auto list = read_list(R"({"apiVersion":"v1","items":[)" + kItemB +
                              R"(],"metadata":{"resourceVersion":"7"}})");
  ASSERT_TRUE(list.has_value());
  EXPECT_EQ(list->page.resource_version, "7");
  EXPECT_THAT(list->names, ElementsAre("b"));
}

TEST(WatchReader, AnItemIsGivenBeforeItsListIsWhole) {
  WatchReader reader;
  int items = 0;
  const WatchReader::ListSink sink{.item = [&](const Item&) { ++items; }, .skipped = {}};
  ASSERT_TRUE(reader.read_list(R"({"items":[)" + kItemA + "," + kItemB, sink));
  EXPECT_EQ(items, 2);
}

TEST(WatchReader, AListOfNoItemsMayBeNull) {
  const auto list = read_list(R"({"items":null,"metadata":{"resourceVersion":"7"}})");
  ASSERT_TRUE(list.has_value());
  EXPECT_TRUE(list->items.empty());
}

TEST(WatchReader, ABadItemIsLeftOutOfItsListAndNamed) {
  const auto list = read_list(
      R"({"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":7}},{"metadata":{"name":"b"}}]})");
  ASSERT_TRUE(list.has_value());
  EXPECT_THAT(list->names, ElementsAre("b"));
  ASSERT_EQ(list->skipped.size(), 1U);
  EXPECT_THAT(list->skipped[0], HasSubstr("item 0"));
}

TEST(WatchReader, AListThatIsCutIsMalformedAndTheNextOneIsRead) {
  const std::string body =
      R"({"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a"}}]})";
  WatchReader reader;
  for (std::size_t size = 0; size < body.size(); ++size) {
    const auto list = read_list(reader, body.substr(0, size), 16);
    ASSERT_FALSE(list.has_value()) << size;
    EXPECT_EQ(list.error().kind, ErrorKind::Malformed);
  }
  EXPECT_TRUE(read_list(reader, body, 16).has_value());
}

class BadList : public testing::TestWithParam<std::pair<std::string, std::string>> {};
TEST_P(BadList, IsMalformedAndSaysWhy) {
  for (const std::size_t piece : {1U, 1000U}) {
    WatchReader reader;
    const auto list = read_list(reader, GetParam().first, piece);
    ASSERT_FALSE(list.has_value());
    EXPECT_EQ(list.error().kind, ErrorKind::Malformed);
    EXPECT_THAT(list.error().message, HasSubstr(GetParam().second));
  }
}
INSTANTIATE_TEST_SUITE_P(
    WatchReader, BadList,
    testing::Values(std::pair{"[]", "not a JSON object"}, std::pair{"{7:1}", "has no name"},
                    std::pair{R"({"a" 1})", "has no value"}, std::pair{R"({"a":})", "is missing"},
                    std::pair{R"({"items":[,]})", "is missing"},
                    std::pair{R"({"items":7})", "not a list"},
                    std::pair{R"({"items":[{} {}]})", "items are not apart"},
                    std::pair{R"({"a":1 "b":2})", "members are not apart"},
                    std::pair{R"({"items":[]} x)", "something follows"},
                    std::pair{R"({"metadata":{"a":}})", "its metadata"},
                    std::pair{R"({"items":[{"a":")" + std::string(9 << 20, 'x'),
                              "an item of more"}));

TEST(ScanVersion, IsThatOfTheObjectAndOfNothingWithinIt) {
  EXPECT_EQ(scan_version(R"({"spec":{"metadata":{"resourceVersion":"1"}},"metadata":{"name":"a",)"
                         R"("annotations":{"resourceVersion":"2"},"resourceVersion":"37"}})"),
            "37");
}

TEST(ScanVersion, SaysWhatIsMissing) {
  EXPECT_EQ(scan_version("[]").error(), "not a JSON object");
  EXPECT_EQ(scan_version("{}").error(), "metadata: not a JSON object");
  for (const char* version : {R"("")", "37", R"("3\u0037")", "null"}) {
    EXPECT_EQ(scan_version(R"({"metadata":{"resourceVersion":)" + std::string(version) + "}}"),
              std::unexpected(std::string("it has no metadata.resourceVersion")));
  }
}

}  // namespace
}  // namespace sandboxrun::kube
