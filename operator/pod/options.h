#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "operator/run/plan.h"
#include "sandbox-image/protocol/work_order.h"

namespace sandboxrun::pod {

/// How the guard gets into the run's container.
enum class GuardDelivery {
  ImageVolume,  ///< a read-only image volume of the sandbox image (Kubernetes 1.36 and later)
  Copy,         ///< prepare copies it into a volume that the run sees read-only
};

/// What one of our own containers may use.
struct StepResources {
  run::PlanResourceList requests;
  run::PlanResourceList limits;
};

inline constexpr std::int64_t kMiB = std::int64_t{1} << 20;
inline constexpr std::int64_t kGiB = std::int64_t{1} << 30;

/// What the administrator decides about pods: chart values, never a field of a run. Every default
/// is the strict one.
struct PodOptions {
  std::string sandbox_image;  ///< repository@sha256:<64 hex>; holds the guard and the agent
  GuardDelivery guard_delivery = GuardDelivery::ImageVolume;
  std::uint32_t run_id = 64000;      ///< uid and gid of the run and of collect
  std::uint32_t prepare_id = 64001;  ///< of prepare: what it placed is foreign to the run

  protocol::TransferPolicy transfer;
  std::string pixi_unpack;  ///< absolute path in the sandbox image, or empty

  StepResources prepare = {.requests = {50, 64 * kMiB, 16 * kMiB},
                           .limits = {1000, 512 * kMiB, 64 * kMiB}};
  StepResources collect = {.requests = {50, 64 * kMiB, 16 * kMiB},
                           .limits = {1000, 256 * kMiB, 64 * kMiB}};

  // Sizes of volumes, in bytes. The scratch and results volumes follow the plan.
  std::int64_t environment_bytes = 64 * kGiB;
  std::int64_t assets_bytes = 64 * kGiB;
  std::int64_t staging_bytes = 64 * kGiB;  ///< of prepare; at least transfer.max_bytes is useful
  std::int64_t tmp_bytes = 128 * kMiB;     ///< the run's /tmp, in memory
  std::int64_t shm_bytes = 64 * kMiB;      ///< the run's /dev/shm, in memory

  std::int64_t open_files = 16'384;  ///< RLIMIT_NOFILE of the run
  std::int64_t processes = 4096;     ///< RLIMIT_NPROC of the run; threads count
  bool strict_speculation = false;   ///< refuse nodes whose kernel lacks the speculation controls

  /// Node, pod and service ranges: no policy of ours lets anything through to them.
  std::vector<std::string> cluster_cidrs;
  /// Where DNS is answered beside the pods of kube-dns (a node-local cache: "169.254.20.10/32").
  std::vector<std::string> dns_cidrs;
};

/// One attempt of a run.
struct Attempt {
  int number = 1;     ///< from 1
  std::string token;  ///< one-time, unguessable, at most 128 bytes of [0-9a-f]; made by the caller
                      ///< for a new pod, taken from `PodView::facts.token` for one that exists
};

}  // namespace sandboxrun::pod
