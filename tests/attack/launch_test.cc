#include "operator/launch/launch.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "operator/base/json_writer.h"
#include "sandbox-image/agent/digest.h"
#include "tests/support/launch/local_run.h"

namespace sandboxrun::test {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
namespace fs = std::filesystem;

class LaunchAttack : public testing::Test {
 protected:
  void TearDown() override { EXPECT_THAT(runs.leftovers(), IsEmpty()); }

  LocalRuns runs;
};

// --- Hostile images ------------------------------------------------------------------------------

/// Writes tar layers and an image above them into an OCI layout.
class ImageBuilder {
 public:
  explicit ImageBuilder(std::string layout) : blobs_(layout + "/blobs/sha256") {
    fs::create_directories(blobs_);
  }

  struct Entry {
    std::string path;
    char type = 'f';      // f, d, l(ink), h(ard link), c(har device)
    std::string content;  // or link target
    unsigned mode = 0755;
  };

  void add_layer(const std::vector<Entry>& entries) {
    const std::string file = blobs_ + "/layer.tar";
    archive* writer = archive_write_new();
    archive_write_set_format_pax_restricted(writer);
    archive_write_open_filename(writer, file.c_str());
    for (const Entry& entry : entries) write(writer, entry);
    archive_write_free(writer);
    layers_.push_back(keep(file_text(file)));
    fs::remove(file);
  }

  /// The image above a base layer that has busybox at /bin/sh, as "name@digest".
  std::string finish() {
    JsonWriter config;
    config.begin_object().member("architecture", "amd64").member("os", "linux");
    config.key("config").begin_object().end_object();
    config.key("rootfs").begin_object().member("type", "layers").key("diff_ids").begin_array();
    for (const std::string& layer : diff_ids.empty() ? layers_ : diff_ids) config.string(layer);
    config.end_array().end_object().end_object();
    const std::string config_digest = keep(config.take());
    JsonWriter manifest;
    manifest.begin_object().member("schemaVersion", 2);
    manifest.key("config").begin_object();
    manifest.member("mediaType", "application/vnd.oci.image.config.v1+json");
    manifest.member("digest", config_digest).end_object();
    manifest.key("layers").begin_array();
    for (const std::string& layer : layers_) {
      manifest.begin_object().member("mediaType", "application/vnd.oci.image.layer.v1.tar");
      manifest.member("digest", layer).end_object();
    }
    manifest.end_array().end_object();
    return "localhost/hostile@" + keep(manifest.take());
  }

  std::string path_of(const std::string& digest) const { return blobs_ + "/" + digest.substr(7); }
  const std::vector<std::string>& layers() const { return layers_; }

  std::vector<std::string> diff_ids;  ///< what the config lists; empty: the layers, which are plain

 private:
  static void write(archive* writer, const Entry& entry) {
    archive_entry* header = archive_entry_new();
    archive_entry_set_pathname(header, entry.path.c_str());
    archive_entry_set_perm(header, static_cast<mode_t>(entry.mode));
    if (entry.type == 'h') {
      archive_entry_set_hardlink(header, entry.content.c_str());
    } else {
      archive_entry_set_filetype(header, entry.type == 'd'   ? AE_IFDIR
                                         : entry.type == 'l' ? AE_IFLNK
                                         : entry.type == 'c' ? AE_IFCHR
                                                             : AE_IFREG);
    }
    if (entry.type == 'l') archive_entry_set_symlink(header, entry.content.c_str());
    if (entry.type == 'f') {
      archive_entry_set_size(header, static_cast<la_int64_t>(entry.content.size()));
    }
    archive_write_header(writer, header);
    if (entry.type == 'f') archive_write_data(writer, entry.content.data(), entry.content.size());
    archive_entry_free(header);
  }

  std::string keep(const std::string& bytes) {
    agent::Sha256 hash;
    hash.update(std::as_bytes(std::span(bytes)));
    const std::string digest = hash.finish();
    write_text(path_of(digest), bytes);
    chmod(path_of(digest).c_str(), 0644);
    return digest;
  }

  std::string blobs_;
  std::vector<std::string> layers_;
};

class HostileImage : public LaunchAttack {
 protected:
  HostileImage() : builder(runs.folder + "/layout") {
    runs.options.image_layouts = {runs.folder + "/layout"};
    builder.add_layer({{"bin", 'd'},
                       {"bin/busybox", 'f', file_text("/bin/busybox")},
                       {"bin/sh", 'l', "busybox"}});
  }

  LocalEnd run_hostile(const std::string& command = "echo ran", const std::string& spec = "") {
    runs.image = builder.finish();
    return runs.run_shell("/bin/busybox true; " + command, spec);
  }

  ImageBuilder builder;
};

TEST_F(HostileImage, T11_LinksOnTheWayToMountsAreRefused) {
  for (const char* path :
       {"data", "work", "tmp", "proc", "dev", "sys", "results", "env", ".sandboxrun"}) {
    ImageBuilder fresh(runs.folder + "/layout");
    builder = fresh;
    builder.add_layer({{"bin/busybox", 'f', file_text("/bin/busybox")},
                       {"bin/sh", 'l', "busybox"},
                       {path, 'l', "/bin"}});
    const auto end = run_hostile("echo ran",
                                 "results: {path: /results, skipUpload: true}\n"
                                 "assets:\n- {name: a, target: /data/a, source: {inline: x}}");
    if (std::string(path) == "env") {
      EXPECT_EQ(end.reason(), "Completed") << path;  // nothing is mounted there
      continue;
    }
    EXPECT_EQ(end.reason(), "SandboxStartFailed") << path << ": " << end.message();
    EXPECT_THAT(end.message(), HasSubstr(std::string("a symbolic link at /") + path));
    EXPECT_EQ(end.out, "") << path;
  }
}

TEST_F(HostileImage, T11_TheGuardIsTheRealOneWhateverTheImageHasInItsPlace) {
  builder.add_layer({{"sandboxrun", 'l', "/env"},
                     {"guard", 'f', "#!/bin/sh\necho forged\n"},
                     {".sandboxrun/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/guard", 'f',
                      "#!/bin/sh\necho forged\n"}});
  const auto end = run_hostile("echo ran");
  EXPECT_EQ(end.out, "ran\n") << end.message();
  EXPECT_EQ(end.reason(), "Completed");
}

TEST_F(HostileImage, T1_T2_LayersNeverWriteOutsideTheTree) {
  const std::string outside = runs.folder + "/outside";
  fs::create_directories(outside);
  builder.add_layer({{"escape", 'l', outside}, {"up", 'l', "../../../../../../.."}});
  builder.add_layer({{"escape/file", 'f', "x"}, {"up" + outside + "/file", 'f', "x"}});
  run_hostile();
  EXPECT_TRUE(fs::is_empty(outside));
}

struct BadLayer {
  const char* name;
  ImageBuilder::Entry entry;
};

class HostileLayer : public HostileImage, public testing::WithParamInterface<BadLayer> {};

TEST_P(HostileLayer, T1_T3_T4_FailsTheRunAndNothingIsKept) {
  builder.add_layer({GetParam().entry});
  const auto end = run_hostile();
  EXPECT_EQ(end.reason(), "ImagePullFailed") << end.message();
  EXPECT_EQ(end.out, "");
  for (const auto& kind : fs::directory_iterator(runs.options.cache_dir)) {
    for (const auto& entry : fs::directory_iterator(kind)) {
      EXPECT_EQ(entry.path().extension(), ".lock") << entry.path();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, HostileLayer,
                         testing::Values(BadLayer{"DotDot", {"../evil", 'f', "x"}},
                                         BadLayer{"DotDotInside", {"a/../../evil", 'f', "x"}},
                                         BadLayer{"HardLinkOut", {"a", 'h', "../../etc/passwd"}},
                                         BadLayer{"HardLinkToNothing", {"a", 'h', "/etc/passwd"}},
                                         BadLayer{"Device", {"usr/zero", 'c', ""}}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_F(HostileImage, T4_SetuidProgramsLoseTheBitAndTheImagesOwnersMeanNothing) {
  builder.add_layer({{"bin/su", 'f', "x", 06755}});
  const auto end = run_hostile("/bin/busybox stat -c %a:%u /bin/su");
  EXPECT_EQ(end.out, "755:0\n") << end.message();
}

TEST_F(HostileImage, T14_ALayerWithOtherBytesThanItsDigestIsRefused) {
  const std::string image = builder.finish();
  write_text(builder.path_of(builder.layers().at(0)), "other bytes");
  runs.image = image;
  const auto end = runs.run_shell("echo ran");
  EXPECT_EQ(end.reason(), "ImagePullFailed");
  EXPECT_THAT(end.message(), HasSubstr("expected " + builder.layers().at(0)));
}

TEST_F(HostileImage, T14_ALayerThatIsNotTheOneOfTheConfigIsRefusedAndNothingIsKept) {
  builder.diff_ids = {"sha256:" + std::string(64, 'a')};
  const auto end = run_hostile();
  EXPECT_EQ(end.reason(), "ImagePullFailed");
  EXPECT_THAT(end.message(), HasSubstr("a layer unpacks to " + builder.layers().at(0) +
                                       ", but the image's config lists sha256:aaaa"));
  EXPECT_THAT(end.out, IsEmpty());
}

TEST_F(HostileImage, T14_AConfigThatListsFewerLayersThanTheManifestIsRefused) {
  builder.add_layer({{"a", 'f', "1"}});
  builder.diff_ids = {builder.layers().at(0)};
  const auto end = run_hostile();
  EXPECT_EQ(end.reason(), "ImagePullFailed");
  EXPECT_THAT(end.message(), HasSubstr("2 layers and its config lists 1 (rootfs.diff_ids)"));
}

TEST_F(HostileImage, T8_ABlobThatOthersMayChangeIsRefused) {
  const std::string image = builder.finish();
  chmod(builder.path_of(builder.layers().at(0)).c_str(), 0666);
  runs.image = image;
  const auto end = runs.run_shell("echo ran");
  EXPECT_EQ(end.reason(), "ImagePullFailed");
  EXPECT_THAT(end.message(), HasSubstr("only its owner can change"));
}

TEST_F(HostileImage, WhiteoutsHideWhatLowerLayersHave) {
  builder.add_layer({{"a/one", 'f', "1"}, {"a/two", 'f', "2"}, {"b/one", 'f', "1"}});
  builder.add_layer({{"a/.wh.one", 'f', ""}, {"b/new", 'f', "n"}, {"b/.wh..wh..opq", 'f', ""}});
  const auto end = run_hostile("/bin/busybox ls /a /b");
  EXPECT_EQ(end.out, "/a:\ntwo\n\n/b:\nnew\n") << end.message();
}

// --- The launcher's own places -------------------------------------------------------------------

TEST_F(LaunchAttack, T47_ARuntimeInPathIsNeverLookedUp) {
  write_text(runs.folder + "/runc", "#!/bin/sh\ntouch " + runs.folder + "/trapped\n");
  chmod((runs.folder + "/runc").c_str(), 0755);
  setenv("PATH", runs.folder.c_str(), 1);
  runs.options.runtime = "runc";
  EXPECT_EQ(runs.run_shell("true").reason(), "RuntimeClassUnavailable");
  runs.options.runtime = "/usr/sbin/runc";
  EXPECT_EQ(runs.run_shell("true").reason(), "Completed");
  EXPECT_FALSE(fs::exists(runs.folder + "/trapped"));
}

TEST_F(LaunchAttack, T47_ARuntimeThatOthersMayChangeIsRefused) {
  const std::string runtime = runs.folder + "/runtime";
  write_text(runtime, "#!/bin/sh\ntouch " + runs.folder + "/trapped\n");
  chmod(runtime.c_str(), 0777);
  runs.options.runtime = runtime;
  const auto end = runs.run_shell("true");
  EXPECT_EQ(end.reason(), "RuntimeClassUnavailable");
  EXPECT_THAT(end.message(), HasSubstr("must belong to root"));
  ASSERT_EQ(chmod(runtime.c_str(), 0755), 0);
  ASSERT_EQ(chown(runtime.c_str(), 1000, 1000), 0);
  EXPECT_EQ(runs.run_shell("true").reason(), "RuntimeClassUnavailable");
  EXPECT_FALSE(fs::exists(runs.folder + "/trapped"));
}

TEST_F(LaunchAttack, T47_AStateFolderBehindALinkIsRefused) {
  fs::create_directories(runs.folder + "/real");
  fs::create_directory_symlink(runs.folder + "/real", runs.folder + "/state");
  const auto end = runs.run_shell("echo ran");
  EXPECT_EQ(end.reason(), "SandboxStartFailed");
  EXPECT_THAT(end.message(), HasSubstr("must not lie behind a symbolic link"));
  EXPECT_TRUE(fs::is_empty(runs.folder + "/real"));
  fs::remove(runs.folder + "/state");
}

TEST_F(LaunchAttack, AStateFolderThatTheSandboxCannotEnterIsNamedAndNothingRuns) {
  fs::create_directories(runs.folder + "/closed/state");
  chmod((runs.folder + "/closed").c_str(), 0700);
  runs.options.state_dir = runs.folder + "/closed/state";
  const auto end = runs.run_shell("echo ran");
  EXPECT_EQ(end.reason(), "SandboxStartFailed");
  EXPECT_THAT(end.message(), HasSubstr(runs.folder + "/closed lets no others pass; chmod o+x it"));
  EXPECT_EQ(end.out, "");
}

TEST_F(LaunchAttack, T47_AStateFolderThatOthersMayChangeIsRefused) {
  fs::create_directories(runs.options.state_dir);
  chmod(runs.options.state_dir.c_str(), 0777);
  const auto open = runs.run_shell("echo ran");
  EXPECT_EQ(open.reason(), "SandboxStartFailed");
  EXPECT_THAT(open.message(), HasSubstr("writable by no one else"));
  chmod(runs.options.state_dir.c_str(), 01777);
  EXPECT_THAT(runs.run_shell("echo ran").message(), HasSubstr("a folder of its own"));
  chmod(runs.options.state_dir.c_str(), 0755);
  ASSERT_EQ(chown(runs.options.state_dir.c_str(), 1000, 1000), 0);
  EXPECT_EQ(runs.run_shell("echo ran").reason(), "SandboxStartFailed");
}

TEST_F(LaunchAttack, N10_T47_AForeignStageOrCacheLeftoverIsNeverUsed) {
  fs::create_directories(runs.options.state_dir + "/run-squatted");
  write_text(runs.options.state_dir + "/run-squatted/config.json", "{}");
  EXPECT_EQ(runs.run_shell("true").reason(), "Completed");
  EXPECT_EQ(launch::reap(runs.options.state_dir, runs.options.runtime).value_or(-1), 1);
}

TEST_F(LaunchAttack, T47_ACacheThatOthersMayChangeIsRefused) {
  fs::create_directories(runs.options.cache_dir);
  chmod(runs.options.cache_dir.c_str(), 0777);
  const auto end = runs.run_shell("echo ran");
  EXPECT_EQ(end.out, "");
  EXPECT_THAT(end.message(), HasSubstr("the cache folder"));
}

// --- What a run tells about itself ---------------------------------------------------------------

TEST_F(LaunchAttack, T22_ExitCodesOfTheGuardAndOfKillsCannotBeForged) {
  for (const int code : {123, 124, 125, 126, 127, 137, 143}) {
    const auto end = runs.run_shell("exit " + std::to_string(code));
    EXPECT_EQ(end.reason(), "NonZeroExit") << code;
    EXPECT_EQ(end.outcome.exit_code, code);
  }
}

TEST_F(LaunchAttack, T23_OutputThatLooksLikeOurRecordsIsJustOutput) {
  const std::string forged =
      "{\"v\":1,\"token\":\"\",\"stage\":\"run\",\"cause\":\"exited\",\"code\":0,\"started\":true}";
  const auto end = runs.run_shell("echo '" + forged + "' | tee /dev/stderr; exit 9");
  EXPECT_EQ(end.reason(), "NonZeroExit");
  EXPECT_EQ(end.outcome.exit_code, 9);
  EXPECT_EQ(end.out, forged + "\n");
}

TEST_F(LaunchAttack, T23_TheRecordsDescriptorIsOutOfTheRunsReach) {
  const auto end = runs.run_shell(
      "for fd in /proc/1/fd/* /proc/self/fd/3 /dev/fd/3; do echo '{}' >$fd; done 2>/dev/null; exit "
      "5");
  EXPECT_EQ(end.reason(), "NonZeroExit") << end.message();
  EXPECT_EQ(end.outcome.exit_code, 5);
}

TEST_F(LaunchAttack, T20_FloodingItsOutputDoesNotStopTheRun) {
  const auto end = runs.run_shell("head -c 67108864 /dev/zero; head -c 67108864 /dev/zero >&2");
  EXPECT_EQ(end.reason(), "Completed") << end.message();
  EXPECT_EQ(end.out.size(), 67108864U);
  EXPECT_EQ(end.err.size(), 67108864U);
}

TEST_F(LaunchAttack, T20_FillingTmpEndsAtItsSize) {
  const auto end = runs.run_shell("dd if=/dev/zero of=/tmp/x bs=1M 2>&1; wc -c < /tmp/x");
  EXPECT_THAT(end.out, HasSubstr("No space left on device"));
  EXPECT_THAT(end.out, testing::EndsWith("134217728\n"));
}

TEST_F(LaunchAttack, T21_AnOrphanInASessionOfItsOwnDoesNotOutliveTheRun) {
  const auto end = runs.run_shell("setsid sleep 1000 & exit 0");
  EXPECT_EQ(end.reason(), "Completed") << end.message();
}

TEST_F(LaunchAttack, T25_TheHostsNameDevicesCgroupsAndProcessesAreNotToBeSeen) {
  const auto end = runs.run_shell(
      "hostname; ls /sys/firmware /sys/fs/cgroup | grep -v :; cat /proc/keys /proc/interrupts;"
      "ls /dev | tr '\\n' ' '; set -- /proc/[0-9]*; echo $#");
  // The guard and the shell, which counts by itself: in a pipe it would be chance whether the last
  // program is there yet when the first one looks.
  EXPECT_EQ(end.out,
            "sandbox\n\nfd full mqueue null ptmx pts random shm stderr stdin stdout tty "
            "urandom zero 2\n");
}

TEST_F(LaunchAttack, T26_TheRunCannotReadAnothersStageOrTheCachesOwner) {
  const auto end = runs.run_shell("id -u; stat -c %u /bin/busybox; touch /bin/busybox 2>&1");
  EXPECT_EQ(end.out, "64000\n0\ntouch: /bin/busybox: Read-only file system\n");
}

TEST_F(LaunchAttack, N11_T27_NothingOfTheCallersEnvironmentIsFound) {
  setenv("SANDBOXRUN_CANARY", "canary-77aa", 1);
  const auto end = runs.run_shell("cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; env");
  EXPECT_THAT(end.out, Not(HasSubstr("canary-77aa")));
  EXPECT_THAT(end.out, Not(HasSubstr("SANDBOXRUN_TOKEN")));
}

TEST_F(LaunchAttack, T48_ARuntimeThatSucceedsWithoutRunningAnythingIsNoSuccess) {
  const std::string runtime = runs.folder + "/runtime";
  write_text(runtime, "#!/bin/sh\nexit 0\n");
  chmod(runtime.c_str(), 0755);
  runs.options.runtime = runtime;
  const auto end = runs.run_shell("true");
  EXPECT_EQ(end.reason(), "SandboxStartFailed");
  EXPECT_EQ(end.outcome.exit_code, 125);
}

TEST_F(LaunchAttack, T48_ARuntimeThatForgesAStartIsNoSuccess) {
  const std::string runtime = runs.folder + "/runtime";
  write_text(
      runtime,
      "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = --pid-file ] && echo $$ > $2; shift; done\n"
      "exit 0\n");
  chmod(runtime.c_str(), 0755);
  runs.options.runtime = runtime;
  const auto end = runs.run_shell("true");
  EXPECT_EQ(end.reason(), "GuardFailed");
  EXPECT_EQ(end.outcome.exit_code, 125);
}

TEST_F(LaunchAttack, T49_AWorkingFolderThatIsADescriptorIsRefused) {
  auto plan = runs.shell("pwd; ls ../../..");
  plan.working_dir = "/proc/self/fd/8";
  const auto end = runs.run(plan);
  EXPECT_THAT(end.reason(), AnyOf("SandboxStartFailed", "GuardFailed")) << end.message();
  EXPECT_EQ(end.out, "");
}

}  // namespace
}  // namespace sandboxrun::test
