// `sandboxrun run` as it is called, in a real sandbox: exit codes, streams, the terminal, Ctrl-C.

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <thread>

#include "operator/base/document.h"
#include "operator/base/fd.h"
#include "operator/run/yaml_reader.h"
#include "tests/support/child_process.h"
#include "tests/support/cli_process.h"
#include "tests/support/setup_cache.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::Not;

using Files = std::map<std::string, std::string>;

// The regular files of an archive, by name.
Files read_archive(const std::string& path) {
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(),
                                                                      &archive_read_free);
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_format_tar(reader.get());
  if (archive_read_open_filename(reader.get(), path.c_str(), 1 << 16) != ARCHIVE_OK) {
    throw std::runtime_error("cannot read " + path);
  }
  Files files;
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK) {
    if (archive_entry_filetype(entry) != AE_IFREG) continue;
    std::string content(static_cast<std::size_t>(archive_entry_size(entry)), '\0');
    const la_ssize_t got = archive_read_data(reader.get(), content.data(), content.size());
    if (got != static_cast<la_ssize_t>(content.size())) {
      throw std::runtime_error("short entry in " + path);
    }
    files[archive_entry_pathname(entry)] = std::move(content);
  }
  return files;
}

class CliRun : public testing::Test {
 protected:
  CliRun() {
    // The sandbox's root, which is nobody here, must reach its stage.
    std::filesystem::permissions(dir_.path(), std::filesystem::perms{0711});
  }
  std::vector<std::string> arguments(const std::string& manifest,
                                     const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {
        "run",     "-f",   manifest,      "--images",    setup_cache() + "/oci",
        "--cache", cache_, "--state-dir", dir_ / "state"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  CliResult run(const std::string& manifest, const std::vector<std::string>& more = {}) {
    return run_cli(arguments(manifest, more));
  }
  // A manifest of our own for the small image.
  std::string manifest(std::string_view command, std::string_view more = {}) {
    const std::string path = dir_ / "own.yaml";
    write_file(path,
               "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\n"
               "metadata: {name: own}\nspec:\n  environment:\n    image: " +
                   locked("LOCK_TINY_IMAGE") + "\n  command: " + std::string(command) + "\n" +
                   std::string(more));
    return path;
  }
  std::vector<std::string> left_behind() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir_ / "state")) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  TempDir dir_;
  std::string cache_ = setup_cache() + "/launcher";
};

TEST_F(CliRun, StatusIsPrintedAsYamlAndTheProgramsOutputGoesToStderr) {
  const CliResult result = run(manifest("[echo, hello]"), {"-q", "-o", "yaml"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "hello\n");
  const auto object = run::parse_yaml(result.out);
  ASSERT_TRUE(object.has_value()) << object.error().message;
  EXPECT_EQ(object->find("apiVersion")->text, "sandboxrun.dev/v1alpha1");
  EXPECT_EQ(object->find("kind")->text, "SandboxRun");
  EXPECT_EQ(object->find("metadata")->find("name")->text, "own");
  const Node& status = *object->find("status");
  const Node& succeeded = status.find("conditions")->items.at(0);
  EXPECT_EQ(succeeded.find("type")->text, "Succeeded");
  EXPECT_EQ(succeeded.find("status")->text, "True");
  EXPECT_EQ(succeeded.find("reason")->text, "Completed");
  EXPECT_EQ(status.find("run")->find("exitCode")->integer, 0);
  EXPECT_EQ(status.find("environment")->find("image")->find("reference")->text,
            locked("LOCK_TINY_IMAGE"));
}

TEST_F(CliRun, W11_TheProgramsExitCodeIsOurs) {
  const CliResult result = run(manifest("[sh, -c, 'echo out; echo err >&2; exit 7']"), {"-q"});
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
}

TEST_F(CliRun, ACommandThatIsNotThereHasTheShellsExitCode) {
  const CliResult result = run(manifest("[no-such-program]"));
  EXPECT_EQ(result.exit_code, 127);
  EXPECT_THAT(result.err, HasSubstr("StartFailed"));
}

TEST_F(CliRun, ADeadlineEndsTheRunWith124AndSaysSo) {
  const CliResult result = run(manifest("[sleep, '60']", "  activeDeadlineSeconds: 1\n"));
  EXPECT_EQ(result.exit_code, 124);
  EXPECT_THAT(result.err, HasSubstr("own  Failed       DeadlineExceeded   exit 124   total "));
  EXPECT_THAT(left_behind(), IsEmpty());
}

TEST_F(CliRun, ResultsThatAreThereAlreadyAreKept) {
  const std::string own = manifest("[touch, /results/a]", "  results: {skipUpload: true}\n");
  std::filesystem::create_directory(dir_ / "out");
  write_file(dir_ / "out/own.tar.gz", "mine");
  const CliResult result = run(own, {"--results", dir_ / "out"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(read_file(dir_ / "out/own.tar.gz"), "mine");
  EXPECT_THAT(read_archive(dir_ / "out/own.2.tar.gz"), ElementsAre(Key("a")));
}

TEST_F(CliRun, BinaryOutputArrivesUnchangedInAPipe) {
  const CliResult result = run(manifest(R"([printf, '\000\033[2J\377\r\n'])"), {"-q"});
  EXPECT_EQ(result.out, std::string("\0\x1b[2J\xff\r\n", 8));
}

TEST_F(CliRun, OnATerminalProgressIsDrawnAndTheProgramCannotDriveIt) {
  CliOnTerminal terminal(arguments(manifest(R"([printf, 'plain\n\033]0;owned\007\033[2J\n'])")));
  EXPECT_EQ(terminal.finish(), 0);
  const std::string& screen = terminal.screen();
  EXPECT_THAT(screen, HasSubstr("\rown  running      printf "));  // live
  EXPECT_THAT(screen, HasSubstr("\r\x1b[Kown  ran          printf "));
  EXPECT_THAT(screen, HasSubstr("  plain\r\n"));
  EXPECT_THAT(screen, HasSubstr("  \\x1b]0;owned\\x07\\x1b[2J\r\n"));
  EXPECT_THAT(screen, Not(HasSubstr("\x1b]")));
  EXPECT_THAT(screen, Not(HasSubstr("\x1b[2J")));
  EXPECT_THAT(screen, HasSubstr("\x1b[1;32mSucceeded\x1b[0m    exit 0   total "));
}

TEST_F(CliRun, CtrlCCancelsAndStillCollects) {
  CliOnTerminal terminal(arguments(
      manifest("[sh, -c, 'trap \"echo saved > /results/a; exit 3\" TERM; echo started; while :; do "
               "sleep 0.1; done']",
               "  results: {skipUpload: true}\n"),
      {"--results", dir_ / "out"}));
  ASSERT_TRUE(terminal.wait_for("  started")) << terminal.screen();
  terminal.type("\x03");
  EXPECT_EQ(terminal.finish(), 143);
  EXPECT_THAT(terminal.screen(), HasSubstr("cancelling: "));
  EXPECT_THAT(terminal.screen(), HasSubstr("Cancelled   exit 143"));
  EXPECT_EQ(read_archive(dir_ / "out/own.tar.gz").at("a"), "saved\n");
  EXPECT_THAT(left_behind(), IsEmpty());
}

TEST_F(CliRun, CtrlCTwiceKillsWithoutWaitingAndStillCleansUp) {
  CliOnTerminal terminal(
      arguments(manifest("[sh, -c, 'trap \"\" TERM; echo started; while :; do sleep 0.1; done']",
                         "  results: {skipUpload: true}\n"),
                {"--results", dir_ / "out"}));
  ASSERT_TRUE(terminal.wait_for("  started")) << terminal.screen();
  const auto start = std::chrono::steady_clock::now();
  terminal.type("\x03");
  ASSERT_TRUE(terminal.wait_for("cancelling: ")) << terminal.screen();
  terminal.type("\x03");
  EXPECT_EQ(terminal.finish(), 137);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));  // grace: 10 s
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "out"));
  EXPECT_THAT(left_behind(), IsEmpty());
}

TEST_F(CliRun, CtrlCEndsItWhileTheManifestIsAwaited) {
  const std::string manifest = dir_ / "manifest";
  ASSERT_EQ(::mkfifo(manifest.c_str(), 0600), 0);
  CliOnTerminal terminal({"run", "-f", manifest});
  const UniqueFd writer(::open(manifest.c_str(), O_WRONLY | O_CLOEXEC));  // waits for the reader
  terminal.type("\x03");
  EXPECT_EQ(terminal.finish(), 128 + SIGINT) << terminal.screen();
}

TEST_F(CliRun, AStageThatFailedHasItsLineToo) {
  CliOnTerminal terminal(
      arguments(manifest("[echo, ran]",
                         "  assets:\n  - name: a\n    target: /work/a\n    source: {inline: x}\n"
                         "    digest: sha256:" +
                             std::string(64, 'a') + "\n")));
  EXPECT_EQ(terminal.finish(), 125);
  EXPECT_THAT(terminal.screen(), HasSubstr("own  assets       did not finish "));
  EXPECT_THAT(terminal.screen(), HasSubstr("AssetDigestMismatch"));
}

// A launcher that can be killed.
class Killable {
 public:
  explicit Killable(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), SANDBOXRUN_BINARY_DIR "/bin/sandboxrun");
    process_ = std::make_unique<ChildProcess>(arguments);
  }
  std::string read_line() { return process_->read_line(); }
  void kill_now() {
    kill(process_->pid(), SIGKILL);
    process_.reset();
  }

 private:
  std::unique_ptr<ChildProcess> process_;
};

TEST_F(CliRun, L6_TheNextRunCleansUpAfterOneThatWasKilledAndSaysSo) {
  Killable killed(arguments(manifest("[sh, -c, 'echo started; sleep 100']")));
  ASSERT_EQ(killed.read_line(), "started");
  killed.kill_now();
  ASSERT_EQ(left_behind().size(), 1U);

  const CliResult next = run(manifest("[echo, again]"));
  EXPECT_EQ(next.exit_code, 0) << next.err;
  EXPECT_THAT(next.err, HasSubstr("cleaned up after 1 earlier run that was killed"));
  EXPECT_THAT(left_behind(), IsEmpty());
}

// What a run shows of its image, its input and its results, and where it is killed: anywhere from
// its first step, with a cache that is still empty, to its last.
TEST_F(CliRun, L6_NothingHalfWrittenIsEverTakenForWhole) {
  const std::string own = manifest(
      "[sh, -c, 'find /bin /etc /data -type f | sort | xargs cat | sha256sum | tee "
      "/results/sum']",
      "  assets:\n  - {name: a, target: /data/a, source: {inline: input}}\n"
      "  results: {skipUpload: true}\n");
  const CliResult whole = run(own, {"-q", "--results", dir_ / "whole"});
  ASSERT_EQ(whole.exit_code, 0) << whole.err;

  std::random_device random;
  for (int turn = 0; turn < 20; ++turn) {
    const std::string name = std::to_string(turn);
    const std::vector<std::string> places = {"-q", "--results", dir_ / ("out" + name)};
    cache_ = dir_ / ("cache" + name);
    const auto moment = std::chrono::milliseconds(random() % 300);
    SCOPED_TRACE("killed after " + std::to_string(moment.count()) + " ms");
    Killable killed(arguments(own, places));
    std::this_thread::sleep_for(moment);
    killed.kill_now();

    const CliResult again = run(own, places);
    ASSERT_EQ(again.exit_code, 0) << again.err;
    EXPECT_EQ(again.out, whole.out);
    EXPECT_THAT(left_behind(), IsEmpty());
    for (const auto& stored : std::filesystem::directory_iterator(dir_ / ("out" + name))) {
      if (!stored.path().string().ends_with(".tar.gz")) continue;
      EXPECT_EQ(read_archive(stored.path()).at("sum"), whole.out) << stored.path();
    }
    std::filesystem::remove_all(cache_);
  }
}

}  // namespace
}  // namespace sandboxrun::test
