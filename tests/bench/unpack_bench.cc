// Verifies and unpacks one archive as prepare does: digest over the open file, then unpack from the
// same descriptor. Prints seconds and the peak resident memory of itself and of its parser child.
//
//   agent_unpack_bench ARCHIVE EMPTY-FOLDER SHA256-DIGEST
#include <fcntl.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>

#include "operator/base/fd.h"
#include "sandbox-image/agent/digest.h"
#include "sandbox-image/agent/unpack.h"

namespace {

long peak_kib(__rusage_who who) {
  rusage usage{};
  getrusage(who, &usage);
  return usage.ru_maxrss;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace sandboxrun;
  if (argc != 4) {
    std::fprintf(stderr, "usage: agent_unpack_bench ARCHIVE EMPTY-FOLDER SHA256-DIGEST\n");
    return 2;
  }
  const UniqueFd archive(::open(argv[1], O_RDONLY | O_CLOEXEC));
  const UniqueFd destination(::open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!archive || !destination) {
    std::perror("opening");
    return 2;
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto digest = agent::digest_of(archive.get());
  const auto verified = std::chrono::steady_clock::now();
  if (!digest || *digest != argv[3]) {
    std::fprintf(stderr, "the digest differs\n");
    return 1;
  }
  agent::UnpackOptions options;
  const auto unpacked = agent::unpack(archive.get(), destination.get(), options);
  const auto end = std::chrono::steady_clock::now();
  if (!unpacked) {
    std::fprintf(stderr, "%s\n", unpacked.error().message.c_str());
    return 1;
  }
  const std::chrono::duration<double> total = end - begin;
  const std::chrono::duration<double> verify = verified - begin;
  std::printf("%.3f %.3f %ld %ld %lld\n", total.count(), verify.count(), peak_kib(RUSAGE_SELF),
              peak_kib(RUSAGE_CHILDREN), static_cast<long long>(unpacked->entries));
  return 0;
}
