#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "operator/kube/projection.h"

namespace sandboxrun::kube {
namespace {

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

TEST(WatchReader, ReadsAList) {
  WatchReader reader;
  const std::string body =
      R"({"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"t"},)"
      R"("items":[ {"metadata":{"name":"a","resourceVersion":"3"}} , {"metadata":{"name":"b","resourceVersion":"5"}}]})";
  const auto list = reader.read_list(body);
  ASSERT_TRUE(list.has_value());
  EXPECT_EQ(list->page.resource_version, "7");
  EXPECT_EQ(list->page.continue_token, "t");
  ASSERT_EQ(list->page.items.size(), 2U);
  EXPECT_EQ(list->page.items[0].json, R"({"metadata":{"name":"a","resourceVersion":"3"}})");
  EXPECT_EQ(list->page.items[1].meta.name.name, "b");
}

TEST(WatchReader, AListOfNoItemsMayBeNull) {
  WatchReader reader;
  const auto list = reader.read_list(R"({"items":null,"metadata":{"resourceVersion":"7"}})");
  ASSERT_TRUE(list.has_value());
  EXPECT_TRUE(list->page.items.empty());
}

TEST(WatchReader, ABadItemIsLeftOutOfItsListAndNamed) {
  WatchReader reader;
  const auto list = reader.read_list(
      R"({"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":7}},{"metadata":{"name":"b"}}]})");
  ASSERT_TRUE(list.has_value());
  ASSERT_EQ(list->page.items.size(), 1U);
  ASSERT_EQ(list->skipped.size(), 1U);
  EXPECT_THAT(list->skipped[0], HasSubstr("item 0"));
}

TEST(WatchReader, AListThatIsCutIsMalformed) {
  const std::string body =
      R"({"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a"}}]})";
  WatchReader reader;
  for (std::size_t size = 0; size < body.size(); ++size) {
    const auto list = reader.read_list(body.substr(0, size));
    ASSERT_FALSE(list.has_value()) << size;
    EXPECT_EQ(list.error().kind, ErrorKind::Malformed);
  }
}

}  // namespace
}  // namespace sandboxrun::kube
