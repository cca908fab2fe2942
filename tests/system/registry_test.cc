// Images from a registry: fetched by digest through skopeo, verified here, and run.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "operator/base/document.h"
#include "operator/base/json_writer.h"
#include "sandbox-image/agent/digest.h"
#include "tests/support/child_process.h"
#include "tests/support/https_server.h"
#include "tests/support/launch/local_run.h"
#include "tests/support/setup_cache.h"

namespace sandboxrun::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
namespace fs = std::filesystem;

constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";

std::string digest_of(const std::string& bytes) {
  agent::Sha256 hash;
  hash.update(std::as_bytes(std::span(bytes)));
  return hash.finish();
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

/// A port that nobody listens on.
int free_port() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port");
  }
  return ntohs(address.sin_port);
}

bool listens(int port) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(port);
  return connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

/// The small image of ./dev setup, blob by blob.
struct SmallImage {
  SmallImage() {
    const std::string image = locked("LOCK_TINY_IMAGE");
    digest = image.substr(image.rfind('@') + 1);
    manifest = blob(digest);
    const auto node = parse_json(manifest);
    config = node->find("config")->find("digest")->text;
    layer = node->find("layers")->items.at(0).find("digest")->text;
  }
  static std::string path(const std::string& digest) {
    return setup_cache() + "/oci/blobs/sha256/" + digest.substr(7);
  }
  static std::string blob(const std::string& digest) { return file_text(path(digest)); }

  std::string digest;
  std::string manifest;
  std::string config;
  std::string layer;
};

/// A real registry on the loopback, with the small image in it.
class Registry {
 public:
  explicit Registry(const std::string& folder) : port_(free_port()) {
    const std::string crane = setup_cache() + "/tools/bin/crane";
    if (access(crane.c_str(), X_OK) != 0) {
      throw std::runtime_error("there is no registry; run: tests/tools/build.sh crane");
    }
    server_ = std::make_unique<ChildProcess>(
        std::vector<std::string>{crane, "registry", "serve", "--address",
                                 "127.0.0.1:" + std::to_string(port_)},
        "/dev/null");
    for (int attempt = 0; !listens(port_); ++attempt) {
      if (attempt == 200) throw std::runtime_error("the registry does not start");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    const SmallImage image;
    const std::string blobs = folder + "/push/blobs/sha256";
    fs::create_directories(blobs);
    for (const std::string& digest : {image.digest, image.config, image.layer}) {
      fs::copy_file(SmallImage::path(digest), blobs + "/" + digest.substr(7));
    }
    write_text(folder + "/push/oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    const std::string index =
        R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)"
        R"({"mediaType":")" +
        std::string(kManifestType) + R"(","size":)" + std::to_string(image.manifest.size()) +
        R"(,"digest":")" + image.digest +
        R"(","platform":{"architecture":"amd64","os":"linux"}}]})";
    write_text(folder + "/push/index.json", index);
    index_digest_ = digest_of(index);
    run_program({crane, "push", folder + "/push", repository() + ":image"});
    run_program({crane, "push", "--index", folder + "/push", repository() + ":index"});
  }

  /// Of the index above the image.
  const std::string& index_digest() const { return index_digest_; }
  std::string repository() const { return "127.0.0.1:" + std::to_string(port_) + "/small"; }

 private:
  int port_;
  std::string index_digest_;
  std::unique_ptr<ChildProcess> server_;
};

/// The script of a registry that serves what it is told to, whatever the digests say: a step of
/// https_server.py for each path below the repository.
std::string serving(const std::map<std::string, std::string>& files_by_path) {
  JsonWriter script;
  script.begin_object().key("/v2/").begin_array().begin_object().member("body", "{}");
  script.end_object().end_array();
  for (const auto& [path, file] : files_by_path) {
    script.key("/v2/small/" + path).begin_array().begin_object().member("file", file);
    script.key("headers").begin_array().begin_array().string("Content-Type");
    script.string(path.starts_with("manifests/") ? kManifestType : "application/octet-stream");
    script.end_array().end_array().end_object().end_array();
  }
  script.end_object();
  return script.take();
}

class RegistryRun : public testing::Test {
 protected:
  RegistryRun() { runs.options.image_layouts = {runs.folder + "/no-layout"}; }
  void TearDown() override { EXPECT_THAT(runs.leftovers(), IsEmpty()); }

  LocalEnd run(const std::string& image) {
    runs.image = image;
    return runs.run_shell("echo ran");
  }
  /// From a registry that does what `script` says.
  LocalEnd run_from(const std::string& script, const std::string& digest) {
    const HttpsServer server(authority, script);
    return run("127.0.0.1:" + std::to_string(server.port()) + "/small@" + digest);
  }
  /// A file in this test's folder; its path.
  std::string file(const std::string& name, const std::string& bytes) {
    write_text(runs.folder + "/" + name, bytes);
    return runs.folder + "/" + name;
  }
  /// No word of skopeo's log, and nothing of it was kept.
  void expect_refused(const LocalEnd& end, const std::string& cause) {
    EXPECT_EQ(end.reason(), "ImagePullFailed");
    EXPECT_THAT(end.message(), HasSubstr(cause));
    EXPECT_THAT(end.message(), Not(HasSubstr("level=")));
    EXPECT_THAT(end.out, IsEmpty());
    for (const auto& entry : fs::recursive_directory_iterator(runs.options.cache_dir)) {
      EXPECT_NE(entry.path().filename(), "tree") << entry.path();
    }
  }

  LocalRuns runs;
  SmallImage small;
  CertificateAuthority authority;
};

TEST_F(RegistryRun, S1_AnImageIsFetchedByItsDigestVerifiedAndRun) {
  auto registry = std::make_unique<Registry>(runs.folder);
  const std::string image = registry->repository() + "@" + small.digest;
  const auto end = run(image);
  EXPECT_EQ(end.out, "ran\n") << end.message();
  EXPECT_EQ(end.reason(), "Completed");

  registry.reset();
  EXPECT_EQ(run(image).out, "ran\n") << "the second time it comes from the cache";
}

TEST_F(RegistryRun, S1_OfAnIndexThisMachinesImageIsFetchedVerifiedAndRun) {
  const Registry registry(runs.folder);
  const auto end = run(registry.repository() + "@" + registry.index_digest());
  EXPECT_EQ(end.out, "ran\n") << end.message();
}

TEST_F(RegistryRun, S1_ADigestThatTheRegistryDoesNotKnowIsNamed) {
  const Registry registry(runs.folder);
  const std::string image = registry.repository() + "@sha256:" + std::string(64, 'a');
  expect_refused(run(image), "no image folder (--images) holds " + image + ", and its registry " +
                                 image.substr(0, image.find('/')) +
                                 " does not have it; check the repository and the digest");
}

TEST_F(RegistryRun, ARegistryThatCannotBeReachedIsNamed) {
  const std::string host = "127.0.0.1:" + std::to_string(free_port());
  expect_refused(run(host + "/small@" + small.digest),
                 "its registry " + host + " cannot be reached; check the name and the network");
}

TEST_F(RegistryRun, ARegistryThatWantsALoginIsNamed) {
  const std::string step = R"([{"status": 401, "body": "hunter2",
                                "headers": [["WWW-Authenticate", "Basic realm=\"hunter2\""]]}])";
  const auto end = run_from(
      R"({"/v2/": )" + step + R"(, "/v2/small/manifests/)" + small.digest + "\": " + step + "}",
      small.digest);
  expect_refused(end, "wants a login, which the launcher never has; copy the image with skopeo");
  EXPECT_THAT(end.message(), Not(HasSubstr("hunter2")));
}

TEST_F(RegistryRun, S1_T14_AManifestOfOtherBytesIsRefused) {
  const auto end =
      run_from(serving({{"manifests/" + small.digest, file("manifest", small.manifest + "\n")},
                        {"blobs/" + small.config, SmallImage::path(small.config)},
                        {"blobs/" + small.layer, SmallImage::path(small.layer)}}),
               small.digest);
  expect_refused(end, "sent other bytes than the digest says; nothing was unpacked");
}

TEST_F(RegistryRun, S1_T14_ALayerOfOtherBytesIsRefused) {
  std::string layer = SmallImage::blob(small.layer);
  layer[layer.size() / 2] = static_cast<char>(layer[layer.size() / 2] ^ 1);
  const auto end =
      run_from(serving({{"manifests/" + small.digest, file("manifest", small.manifest)},
                        {"blobs/" + small.config, SmallImage::path(small.config)},
                        {"blobs/" + small.layer, file("layer", layer)}}),
               small.digest);
  expect_refused(end, "sent other bytes than the digest says; nothing was unpacked");
}

TEST_F(RegistryRun, S1_T14_ALayerThatIsNotTheOneOfTheConfigIsRefused) {
  const std::string config = R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers",)"
                             R"("diff_ids":["sha256:)" +
                             std::string(64, 'b') + "\"]}}";
  std::string manifest = small.manifest;
  manifest.replace(manifest.find(small.config), small.config.size(), digest_of(config));
  const auto size = manifest.find("\"size\":") + 7;
  manifest.replace(size, manifest.find('}', size) - size, std::to_string(config.size()));
  const std::string digest = digest_of(manifest);
  const auto end = run_from(serving({{"manifests/" + digest, file("manifest", manifest)},
                                     {"blobs/" + digest_of(config), file("config", config)},
                                     {"blobs/" + small.layer, SmallImage::path(small.layer)}}),
                            digest);
  expect_refused(end, "but the image's config lists sha256:bbbb");
}

}  // namespace
}  // namespace sandboxrun::test
