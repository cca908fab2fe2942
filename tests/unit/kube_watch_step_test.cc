#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "operator/kube/watch_step.h"

namespace sandboxrun::kube {
namespace {

using Phase = WatchState::Phase;
using Kind = Change::Kind;
using Type = WatchItem::Type;

Item item(const std::string& name, const std::string& version) {
  return {.meta = {.name = {"ns", name}, .uid = "u-" + name, .resource_version = version},
          .json = "{}"};
}
WatchItem event(Type type, const std::string& name, const std::string& version) {
  return {type, item(name, version)};
}
Error error_of(ErrorKind kind) {
  Error error;
  error.kind = kind;
  error.message = "refused";
  return error;
}
WatchState watching(const std::string& version) {
  return {.phase = Phase::Watching, .watch_list = false, .resource_version = version};
}

// Runs inputs through the steps and writes down what came of them, one word each: "init",
// "stage:a", "done@7", "apply:a", "delete:a", "seen@9", "problem", "wait", "leave".
struct Machine {
  WatchState state;
  std::vector<std::string> log;

  void feed(Input input) {
    Step result = step(state, std::move(input));
    for (const Change& change : result.changes) log.push_back(describe(change));
    if (result.problem) log.push_back("problem");
    if (result.back_off) log.push_back("wait");
    if (result.end_stream) log.push_back("leave");
    state = result.state;
  }
  static std::string describe(const Change& change) {
    const std::string& name = change.item.meta.name.name;
    switch (change.kind) {
      case Kind::Init:
        return "init";
      case Kind::InitApply:
        return "stage:" + name;
      case Kind::InitDone:
        return "done@" + change.resource_version;
      case Kind::Apply:
        return "apply:" + name;
      case Kind::Delete:
        return "delete:" + name;
      case Kind::Seen:
        return "seen@" + change.resource_version;
    }
    return "?";
  }
};
using Log = std::vector<std::string>;

TEST(WatchStep, AsksForAWatchListFirst) {
  EXPECT_EQ(next_call({}), Call(WatchCall{.send_initial_events = true}));
}

TEST(WatchStep, WithoutWatchListItListsFromTheCacheFirst) {
  EXPECT_EQ(next_call({.watch_list = false}),
            Call(ListCall{.resource_version = "0", .limit = 500}));
}

TEST(WatchStep, AListOfOnePageIsFollowedByAWatchFromItsVersion) {
  Machine machine{.state = {.watch_list = false}};
  machine.feed(ListPage{"7", "", {item("a", "3"), item("b", "5")}});
  EXPECT_EQ(machine.log, (Log{"init", "stage:a", "stage:b", "done@7"}));
  EXPECT_EQ(next_call(machine.state), Call(WatchCall{.resource_version = "7"}));
}

TEST(WatchStep, AnEmptyListIsAListToo) {
  Machine machine{.state = {.watch_list = false}};
  machine.feed(ListPage{"7", "", {}});
  EXPECT_EQ(machine.log, (Log{"init", "done@7"}));
}

TEST(WatchStep, PagesArePutTogetherAndTheFirstOnesVersionCounts) {
  Machine machine{.state = {.watch_list = false}};
  machine.feed(ListPage{"7", "next", {item("a", "3")}});
  EXPECT_EQ(next_call(machine.state), Call(ListCall{.limit = 500, .continue_token = "next"}));
  machine.feed(ListPage{"9", "", {item("b", "5")}});
  EXPECT_EQ(machine.log, (Log{"init", "stage:a", "stage:b", "done@7"}));
  EXPECT_EQ(next_call(machine.state), Call(WatchCall{.resource_version = "7"}));
}

TEST(WatchStep, ItemsThatComeBeforeTheirPageIsWholeAreStagedAtOnce) {
  Machine machine{.state = {.watch_list = false}};
  machine.feed(ListItem{item("a", "3")});
  machine.feed(ListItem{item("b", "5")});
  EXPECT_EQ(machine.log, (Log{"init", "stage:a", "stage:b"}));
  machine.feed(ListPage{"7", "next", {}});
  machine.feed(ListItem{item("c", "6")});
  machine.feed(ListPage{"9", "", {}});
  EXPECT_EQ(machine.log, (Log{"init", "stage:a", "stage:b", "stage:c", "done@7"}));
}

TEST(WatchStep, AListThatBreaksOffAmongItsItemsIsBegunAnew) {
  Machine machine{.state = {.watch_list = false}};
  machine.feed(ListItem{item("a", "3")});
  machine.feed(CallFailed{error_of(ErrorKind::Unreachable)});
  EXPECT_EQ(machine.log, (Log{"init", "stage:a", "problem", "wait", "leave"}));
  EXPECT_EQ(next_call(machine.state), Call(ListCall{.resource_version = "0", .limit = 500}));
  machine.log.clear();
  machine.feed(ListItem{item("b", "5")});
  machine.feed(ListPage{"7", "", {}});
  EXPECT_EQ(machine.log, (Log{"init", "stage:b", "done@7"}));
}

TEST(WatchStep, APageThatBreaksOffAmongItsItemsLosesNoneOfThePagesBefore) {
  Machine machine{.state = {.watch_list = false}};
  machine.feed(ListPage{"7", "next", {item("a", "3")}});
  machine.feed(ListItem{item("b", "5")});
  machine.feed(CallFailed{error_of(ErrorKind::Unreachable)});
  EXPECT_EQ(next_call(machine.state), Call(ListCall{.limit = 500, .continue_token = "next"}));
  machine.log.clear();
  machine.feed(ListItem{item("b", "5")});
  machine.feed(ListPage{"7", "", {}});
  EXPECT_EQ(machine.log, (Log{"stage:b", "done@7"}));
}

TEST(WatchStep, AContinueTokenThatExpiredLeadsToAListInOnePageAtOnce) {
  Machine machine{.state = {.watch_list = false}};
  machine.feed(ListPage{"7", "next", {item("a", "3")}});
  machine.log.clear();
  machine.feed(CallFailed{error_of(ErrorKind::Gone)});
  EXPECT_EQ(machine.log, (Log{"problem", "leave"}));
  EXPECT_EQ(next_call(machine.state), Call(ListCall{}));
  machine.log.clear();
  machine.feed(ListPage{"8", "", {item("b", "5")}});
  EXPECT_EQ(machine.log, (Log{"init", "stage:b", "done@8"}));
}

TEST(WatchStep, APageThatFailsIsAskedForAgain) {
  Machine machine{.state = {.watch_list = false}};
  machine.feed(ListPage{"7", "next", {item("a", "3")}});
  machine.log.clear();
  machine.feed(CallFailed{error_of(ErrorKind::Unreachable)});
  EXPECT_EQ(machine.log, (Log{"problem", "wait", "leave"}));
  EXPECT_EQ(next_call(machine.state), Call(ListCall{.limit = 500, .continue_token = "next"}));
}

TEST(WatchStep, AListWithoutAVersionIsAnError) {
  Machine machine{.state = {.watch_list = false}};
  machine.feed(ListPage{"", "", {item("a", "3")}});
  EXPECT_EQ(machine.log, (Log{"problem", "wait", "leave"}));
  EXPECT_EQ(next_call(machine.state), Call(ListCall{.resource_version = "0", .limit = 500}));
}

struct ListFailure {
  ErrorKind kind;
  Log log;
  Call next;
};
class ListFails : public testing::TestWithParam<ListFailure> {};
TEST_P(ListFails, WhenTheCacheWasAsked) {
  Machine machine{.state = {.watch_list = false, .resource_version = "40"}};
  EXPECT_EQ(next_call(machine.state), Call(ListCall{.resource_version = "40"}));
  machine.feed(CallFailed{error_of(GetParam().kind)});
  EXPECT_EQ(machine.log, GetParam().log);
  EXPECT_EQ(next_call(machine.state), GetParam().next);
}
const Call kAgain = ListCall{.resource_version = "40"};
const Call kFromEtcd = ListCall{.limit = 500};
INSTANTIATE_TEST_SUITE_P(
    WatchStep, ListFails,
    testing::Values(ListFailure{ErrorKind::Gone, {"problem", "leave"}, kFromEtcd},
                    ListFailure{ErrorKind::VersionTooLarge, {"problem", "leave"}, kFromEtcd},
                    ListFailure{ErrorKind::Unreachable, {"problem", "wait", "leave"}, kAgain},
                    ListFailure{ErrorKind::TooManyRequests, {"problem", "wait", "leave"}, kAgain},
                    ListFailure{ErrorKind::Forbidden, {"problem", "wait", "leave"}, kAgain},
                    ListFailure{ErrorKind::NotFound, {"problem", "wait", "leave"}, kAgain},
                    ListFailure{ErrorKind::ServerError, {"problem", "wait", "leave"}, kAgain}),
    [](const auto& test) { return std::string(to_string(test.param.kind)); });

TEST(WatchStep, AListFromEtcdThatIsGoneTooIsAskedForAgainAfterAWait) {
  Machine machine{.state = {.watch_list = false, .from_etcd = true}};
  machine.feed(CallFailed{error_of(ErrorKind::Gone)});
  EXPECT_EQ(machine.log, (Log{"problem", "wait", "leave"}));
  EXPECT_EQ(next_call(machine.state), kFromEtcd);
}

TEST(WatchStep, EventsMoveTheVersionOn) {
  Machine machine{.state = watching("7")};
  machine.feed(event(Type::Added, "a", "8"));
  machine.feed(event(Type::Modified, "a", "9"));
  machine.feed(event(Type::Deleted, "a", "10"));
  EXPECT_EQ(machine.log, (Log{"apply:a", "apply:a", "delete:a"}));
  EXPECT_EQ(next_call(machine.state), Call(WatchCall{.resource_version = "10"}));
}

TEST(WatchStep, ARepeatedEventIsDropped) {
  Machine machine{.state = watching("7")};
  machine.feed(event(Type::Modified, "a", "9"));
  machine.feed(event(Type::Modified, "a", "9"));
  EXPECT_EQ(machine.log, (Log{"apply:a"}));
}

TEST(WatchStep, AnEventOutOfOrderBringsNothingBack) {
  Machine machine{.state = watching("7")};
  machine.feed(event(Type::Deleted, "a", "10"));
  machine.feed(event(Type::Modified, "a", "9"));
  EXPECT_EQ(machine.log, (Log{"delete:a"}));
  EXPECT_EQ(machine.state.resource_version, "10");
}

TEST(WatchStep, VersionsAreComparedAsNumbersNotAsText) {
  Machine machine{.state = watching("9")};
  machine.feed(event(Type::Modified, "a", "10"));
  EXPECT_EQ(machine.log, (Log{"apply:a"}));
}

TEST(WatchStep, VersionsThatAreNoNumbersAreTakenAsTheyCome) {
  Machine machine{.state = watching("x9")};
  machine.feed(event(Type::Modified, "a", "x10"));
  EXPECT_EQ(machine.log, (Log{"apply:a"}));
  EXPECT_EQ(machine.state.resource_version, "x10");
}

TEST(WatchStep, AnEventWithoutAVersionLeadsToARelist) {
  Machine machine{.state = watching("7")};
  machine.feed(event(Type::Added, "a", ""));
  EXPECT_EQ(machine.log, (Log{"problem", "wait", "leave"}));
  EXPECT_EQ(next_call(machine.state), Call(ListCall{.resource_version = "7"}));
}

TEST(WatchStep, BookmarksOnlyMoveTheVersion) {
  Machine machine{.state = watching("7")};
  machine.feed(Bookmark{"12"});
  machine.feed(Bookmark{"12"});
  EXPECT_EQ(machine.log, (Log{"seen@12"}));
  EXPECT_EQ(next_call(machine.state), Call(WatchCall{.resource_version = "12"}));
}

TEST(WatchStep, ABookmarkNeverGoesBack) {
  Machine machine{.state = watching("12")};
  machine.feed(Bookmark{"11"});
  EXPECT_EQ(machine.log, Log{});
  EXPECT_EQ(machine.state.resource_version, "12");
}

TEST(WatchStep, ABookmarkWithoutAVersionLeadsToARelist) {
  Machine machine{.state = watching("7")};
  machine.feed(Bookmark{""});
  EXPECT_EQ(machine.log, (Log{"problem", "wait", "leave"}));
}

TEST(WatchStep, AnEventThatIsNoneLeadsToARelist) {
  Machine machine{.state = watching("7")};
  machine.feed(Unreadable{"not JSON"});
  EXPECT_EQ(machine.log, (Log{"problem", "wait", "leave"}));
  EXPECT_EQ(next_call(machine.state), Call(ListCall{.resource_version = "7"}));
}

struct WatchFailure {
  ErrorKind kind;
  Call next;
};
class WatchFails : public testing::TestWithParam<WatchFailure> {};
TEST_P(WatchFails, ByAnErrorEvent) {
  Machine machine{.state = watching("40")};
  machine.feed(WatchError{error_of(GetParam().kind)});
  EXPECT_EQ(machine.log, (Log{"problem", "wait", "leave"}));
  EXPECT_EQ(next_call(machine.state), GetParam().next);
}
TEST_P(WatchFails, ByItsAnswer) {
  Machine machine{.state = watching("40")};
  machine.feed(CallFailed{error_of(GetParam().kind)});
  EXPECT_EQ(machine.log, (Log{"problem", "wait", "leave"}));
  EXPECT_EQ(next_call(machine.state), GetParam().next);
}
const Call kResume = WatchCall{.resource_version = "40"};
INSTANTIATE_TEST_SUITE_P(WatchStep, WatchFails,
                         testing::Values(WatchFailure{ErrorKind::Gone, kAgain},
                                         WatchFailure{ErrorKind::NotFound, kAgain},
                                         WatchFailure{ErrorKind::Invalid, kAgain},
                                         WatchFailure{ErrorKind::Malformed, kAgain},
                                         WatchFailure{ErrorKind::VersionTooLarge, kFromEtcd},
                                         WatchFailure{ErrorKind::TooManyRequests, kResume},
                                         WatchFailure{ErrorKind::ServerError, kResume},
                                         WatchFailure{ErrorKind::Forbidden, kResume},
                                         WatchFailure{ErrorKind::Unauthorized, kResume},
                                         WatchFailure{ErrorKind::Timeout, kResume},
                                         WatchFailure{ErrorKind::Unreachable, kResume}),
                         [](const auto& test) { return std::string(to_string(test.param.kind)); });

TEST(WatchStep, ProblemsKeepWhenTheServerWantsToBeAskedAgain) {
  Error error = error_of(ErrorKind::TooManyRequests);
  error.retry_after = std::chrono::seconds(17);
  const Step result = step(watching("7"), WatchError{error});
  EXPECT_EQ(result.problem->retry_after, std::chrono::seconds(17));
}

TEST(WatchStep, AStreamThatEndsIsResumedAtOnce) {
  for (const StreamEnd end : {StreamEnd::Closed, StreamEnd::Idle, StreamEnd::Dropped}) {
    Machine machine{.state = watching("7")};
    machine.feed(WatchEnded{end, std::chrono::minutes(4)});
    EXPECT_EQ(machine.log, Log{});
    EXPECT_EQ(next_call(machine.state), Call(WatchCall{.resource_version = "7"}));
  }
}

TEST(WatchStep, AVeryShortWatchWithoutEventsBacksOff) {
  Machine machine{.state = watching("7")};
  machine.feed(WatchEnded{StreamEnd::Closed, std::chrono::milliseconds(999)});
  EXPECT_EQ(machine.log, (Log{"problem", "wait", "leave"}));
  EXPECT_EQ(next_call(machine.state), Call(WatchCall{.resource_version = "7"}));
}

TEST(WatchStep, AVeryShortWatchWithAnEventDoesNot) {
  Machine machine{.state = watching("7")};
  machine.feed(event(Type::Added, "a", "8"));
  machine.log.clear();
  machine.feed(WatchEnded{StreamEnd::Closed, std::chrono::milliseconds(10)});
  EXPECT_EQ(machine.log, Log{});
}

TEST(WatchStep, EventsOfTheStreamBeforeDoNotExcuseAShortOne) {
  Machine machine{.state = watching("7")};
  machine.feed(event(Type::Added, "a", "8"));
  machine.feed(WatchEnded{StreamEnd::Closed, std::chrono::minutes(4)});
  machine.log.clear();
  machine.feed(WatchEnded{StreamEnd::Closed, std::chrono::milliseconds(10)});
  EXPECT_EQ(machine.log, (Log{"problem", "wait", "leave"}));
}

TEST(WatchStep, AWatchListGivesAllObjectsAndThenGoesOn) {
  Machine machine;
  machine.feed(event(Type::Added, "b", "5"));
  machine.feed(event(Type::Added, "a", "3"));  // in no order yet
  machine.feed(Bookmark{"7", /*initial_events_end=*/true});
  machine.feed(event(Type::Modified, "a", "8"));
  EXPECT_EQ(machine.log, (Log{"init", "stage:b", "stage:a", "done@7", "apply:a"}));
  EXPECT_EQ(next_call(machine.state), Call(WatchCall{.resource_version = "8"}));
}

TEST(WatchStep, AWatchListOfNothingIsDoneByItsBookmark) {
  Machine machine;
  machine.feed(Bookmark{"7", true});
  EXPECT_EQ(machine.log, (Log{"init", "done@7"}));
}

TEST(WatchStep, AnOrdinaryBookmarkDoesNotEndTheInitialEvents) {
  Machine machine;
  machine.feed(event(Type::Added, "a", "3"));
  machine.feed(Bookmark{"6", false});
  EXPECT_EQ(machine.log, (Log{"init", "stage:a"}));
  EXPECT_EQ(machine.state.phase, Phase::Initial);
}

TEST(WatchStep, AnObjectDeletedAmongTheInitialEventsIsNotStaged) {
  Machine machine;
  machine.feed(event(Type::Added, "a", "3"));
  machine.feed(event(Type::Deleted, "a", "6"));
  machine.feed(Bookmark{"7", true});
  EXPECT_EQ(machine.log, (Log{"init", "stage:a", "delete:a", "done@7"}));
}

TEST(WatchStep, AWatchListThatIsRefusedIsAListAtOnceAndIsNeverAskedForAgain) {
  for (const ErrorKind kind : {ErrorKind::Invalid, ErrorKind::Forbidden, ErrorKind::ServerError,
                               ErrorKind::Gone, ErrorKind::VersionTooLarge}) {
    Machine machine;
    machine.feed(CallFailed{error_of(kind)});
    EXPECT_EQ(machine.log, (Log{"problem", "leave"}));
    EXPECT_EQ(next_call(machine.state), Call(ListCall{.resource_version = "0", .limit = 500}));
    machine.feed(CallFailed{error_of(ErrorKind::Unreachable)});
    EXPECT_EQ(next_call(machine.state), Call(ListCall{.resource_version = "0", .limit = 500}));
  }
}

TEST(WatchStep, AServerThatIsNotThereIsAskedForAWatchListAgain) {
  for (const ErrorKind kind :
       {ErrorKind::Unreachable, ErrorKind::TooManyRequests, ErrorKind::Unauthorized}) {
    Machine machine;
    machine.feed(CallFailed{error_of(kind)});
    EXPECT_EQ(machine.log, (Log{"problem", "wait", "leave"}));
    EXPECT_EQ(next_call(machine.state), Call(WatchCall{.send_initial_events = true}));
  }
}

TEST(WatchStep, AWatchListThatBreaksOffIsAListAtOnce) {
  Machine machine;
  machine.feed(event(Type::Added, "a", "3"));
  machine.log.clear();
  machine.feed(WatchEnded{StreamEnd::Dropped, std::chrono::seconds(2)});
  EXPECT_EQ(machine.log, (Log{"problem", "leave"}));
  EXPECT_EQ(next_call(machine.state), Call(ListCall{.resource_version = "0", .limit = 500}));
  machine.log.clear();
  machine.feed(ListPage{"7", "", {item("b", "5")}});
  EXPECT_EQ(machine.log, (Log{"init", "stage:b", "done@7"}));
}

TEST(WatchStep, ARelistIsNeverAWatchList) {
  Machine machine;
  machine.feed(Bookmark{"7", true});
  machine.feed(WatchError{error_of(ErrorKind::Gone)});
  EXPECT_EQ(next_call(machine.state), Call(ListCall{.resource_version = "7"}));
}

TEST(WatchStep, ARestoredEtcdIsFollowedFromItsOwnVersion) {
  Machine machine{.state = watching("4000")};
  machine.feed(CallFailed{error_of(ErrorKind::VersionTooLarge)});
  EXPECT_EQ(next_call(machine.state), kFromEtcd);
  machine.feed(ListPage{"12", "", {}});
  machine.log.clear();
  machine.feed(event(Type::Added, "a", "13"));
  EXPECT_EQ(machine.log, (Log{"apply:a"}));
}

TEST(ResourceVersion, IsANumberOrNothing) {
  EXPECT_EQ(version_number("18446744073709551615"), 18446744073709551615ULL);
  for (const char* text : {"", "x", "12x", "-1", " 1", "18446744073709551616"}) {
    EXPECT_EQ(version_number(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace sandboxrun::kube
