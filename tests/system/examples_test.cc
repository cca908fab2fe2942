// The examples of docs/examples, each run as ./dev run does it.

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "operator/base/document.h"
#include "tests/support/guard_process.h"
#include "tests/support/setup_cache.h"

namespace sandboxrun::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;
using testing::UnorderedElementsAre;

const std::string kExamples = SANDBOXRUN_SOURCE_DIR "/docs/examples/";

/// The example's manifest with this machine's environments in it.
std::string filled(const std::string& example) {
  const auto end = run_process({.argv = {SANDBOXRUN_SOURCE_DIR "/tests/environments/fill.sh",
                                         setup_cache(), kExamples + example + "/run.yaml"}});
  if (end.code != 0) throw std::runtime_error(end.err);
  return end.out;
}

/// Runs a manifest's text; the results go to `folder`/results.
ProcessEnd run_manifest(const std::string& manifest, const fs::path& folder,
                        std::vector<std::string> more = {}) {
  write_file(folder / "run.yaml", manifest);
  std::vector<std::string> argv = {built_program("sandboxrun"),
                                   "run",
                                   "-f",
                                   folder / "run.yaml",
                                   "--images",
                                   setup_cache() + "/oci",
                                   "--cache",
                                   setup_cache() + "/launcher",
                                   "--results",
                                   folder / "results"};
  argv.insert(argv.end(), more.begin(), more.end());
  return run_process({.argv = argv});
}

std::map<std::string, std::string> files_of(const fs::path& path) {
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(),
                                                                      &archive_read_free);
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_format_tar(reader.get());
  if (archive_read_open_filename(reader.get(), path.c_str(), 1 << 16) != ARCHIVE_OK) {
    throw std::runtime_error("no archive " + path.string());
  }
  std::map<std::string, std::string> files;
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK) {
    std::string content(static_cast<std::size_t>(archive_entry_size(entry)), '\0');
    archive_read_data(reader.get(), content.data(), content.size());
    if (archive_entry_filetype(entry) == AE_IFREG) files[archive_entry_pathname(entry)] = content;
  }
  return files;
}

std::vector<std::string> names_of(const std::map<std::string, std::string>& files) {
  std::vector<std::string> names;
  for (const auto& file : files) names.push_back(file.first);
  return names;
}

/// The condition Succeeded of a run printed by `-o json`: "True Completed".
std::string verdict(const std::string& json) {
  const Node run = parse_json(json).value();
  for (const Node& condition : run.find("status")->find("conditions")->items) {
    if (condition.find("type")->text == "Succeeded") {
      return condition.find("status")->text + " " + condition.find("reason")->text;
    }
  }
  return "";
}

TEST(Examples, HelloPrintsItsLine) {
  const TempFolder folder;

  const auto end = run_manifest(filled("hello"), folder.path());

  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_EQ(end.out, "hello from the sandbox\n");
}

TEST(Examples, P8_WeatherDrawsItsPictureAndSumsUpTheData) {
  const TempFolder folder;

  const auto end = run_manifest(filled("weather"), folder.path(), {"-o", "json"});

  ASSERT_EQ(end.code, 0) << end.err;
  EXPECT_EQ(verdict(end.out), "True Completed");
  auto files = files_of(folder.path() / "results/weather.tar.gz");
  EXPECT_THAT(names_of(files), UnorderedElementsAre("weather.png", "summary.json"));
  // The signature, and an image header with a width of 1200 and a height of 720.
  EXPECT_THAT(files["weather.png"],
              StartsWith(std::string("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x04\xb0\0\0\x02\xd0", 24)));
  const Node summary = parse_json(files["summary.json"]).value();
  EXPECT_EQ(summary.find("days")->integer, 1461);
  EXPECT_EQ(summary.find("hottest")->find("date")->text, "2014-08-11");
  EXPECT_EQ(summary.find("rain_millimetres")->text, "4426.0");
}

TEST(Examples, S1_WeatherDoesNotRunOnDataWithOneOtherByte) {
  const TempFolder folder;
  std::string data = read_file(fs::path(setup_cache()) / "data/seattle-weather.csv");
  data.back() = ' ';
  write_file(folder.path() / "other.csv", data);
  std::string manifest = filled("weather");
  const std::string original = setup_cache() + "/data/seattle-weather.csv";
  ASSERT_THAT(manifest, HasSubstr(original));
  manifest.replace(manifest.find(original), original.size(), folder.path() / "other.csv");

  const auto end = run_manifest(manifest, folder.path(), {"-o", "json"});

  EXPECT_EQ(end.code, 125);
  EXPECT_EQ(verdict(end.out), "False AssetDigestMismatch");
  EXPECT_THAT(end.err, HasSubstr("62f0609f"));
  EXPECT_FALSE(fs::exists(folder.path() / "results/weather.tar.gz"));
}

TEST(Examples, SixLanguagesAgreeUnderOneGuard) {
  const TempFolder folder;

  const auto end = run_manifest(filled("six-languages"), folder.path());

  ASSERT_EQ(end.code, 0) << end.err;
  auto files = files_of(folder.path() / "results/six-languages.tar.gz");
  const Node answers = parse_json(files["answers.json"]).value();
  std::vector<std::string> languages;
  for (const Node::Entry& answer : answers.entries) {
    languages.push_back(answer.key);
    EXPECT_EQ(answer.value.find("count")->integer, 1229) << answer.key;
    EXPECT_EQ(answer.value.find("sum")->integer, 5736396) << answer.key;
  }
  EXPECT_THAT(languages, UnorderedElementsAre("Python", "NumPy", "Node", "Bun JavaScript",
                                              "Bun TypeScript", "Bash"));
}

}  // namespace
}  // namespace sandboxrun::test
