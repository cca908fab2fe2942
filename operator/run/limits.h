#pragma once

#include <cstddef>
#include <cstdint>

/// Every bound on what a manifest may hold, and every default. The CRD's schema has the same
/// numbers; a test compares them.
namespace sandboxrun::run {

inline constexpr std::size_t kMaxRunName = 63;  ///< it becomes a label's value
inline constexpr std::size_t kMaxObjectName = 253;
inline constexpr std::size_t kMaxPartName = 63;  ///< of an asset or a step
inline constexpr std::size_t kMaxSpecBytes = 256 * 1024;
/// execve() takes no longer string (MAX_ARG_STRLEN is 128 KiB with the final zero; an environment
/// string also holds its name).
inline constexpr std::size_t kMaxArgumentBytes = 128 * 1024 - 1;
inline constexpr std::size_t kMaxArguments = 1024;
inline constexpr std::size_t kMaxEnv = 256;
inline constexpr std::size_t kMaxEnvName = 256;
inline constexpr std::size_t kMaxSteps = 16;
inline constexpr std::size_t kMaxAssets = 64;
inline constexpr std::size_t kMaxInlineBytes = 32 * 1024;
inline constexpr std::size_t kMaxInlineTotalBytes = 64 * 1024;
inline constexpr std::size_t kMaxPath = 512;
inline constexpr int kMaxPathComponents = 12;
inline constexpr std::size_t kMaxComponentBytes = 255;
inline constexpr std::size_t kMaxImage = 512;
inline constexpr std::size_t kMaxUrl = 2048;
inline constexpr std::size_t kMaxS3Key = 1024;
inline constexpr std::size_t kMaxEgressRules = 16;
inline constexpr std::size_t kMaxEgressPeers = 32;
inline constexpr std::size_t kMaxEgressPorts = 16;
inline constexpr std::size_t kMaxExcept = 16;
inline constexpr std::size_t kMaxNodeSelector = 16;
inline constexpr std::size_t kMaxTolerations = 16;
inline constexpr std::size_t kMaxPullSecrets = 8;

inline constexpr std::int64_t kMaxSeconds = 31'536'000;  ///< a year
inline constexpr std::int64_t kMaxResultsTimeout = 3600;
inline constexpr std::int64_t kMaxStepTimeout = 86'400;
inline constexpr std::int64_t kMaxBackoffLimit = 10;
inline constexpr std::int64_t kMaxResultsBytes = std::int64_t{1} << 40;
inline constexpr std::int64_t kMaxResultsEntries = 10'000'000;
inline constexpr std::int64_t kMinMemoryBytes = std::int64_t{16} << 20;

// Defaults.
inline constexpr std::int64_t kDefaultActiveDeadline = 86'400;
inline constexpr std::int64_t kDefaultStartDeadline = 3600;
inline constexpr std::int64_t kDefaultStepTimeout = 600;
inline constexpr std::int64_t kDefaultResultsTimeout = 300;
inline constexpr std::int64_t kDefaultResultsBytes = std::int64_t{1} << 30;
inline constexpr std::int64_t kDefaultResultsEntries = 100'000;
inline constexpr std::int64_t kDefaultScratchBytes = std::int64_t{1} << 30;
inline constexpr std::int64_t kDefaultCpuLimitMillis = 1000;
inline constexpr std::int64_t kDefaultCpuRequestMillis = 100;
inline constexpr std::int64_t kDefaultMemoryBytes = std::int64_t{512} << 20;
inline constexpr std::int64_t kDefaultEphemeralBytes = std::int64_t{256} << 20;

}  // namespace sandboxrun::run
