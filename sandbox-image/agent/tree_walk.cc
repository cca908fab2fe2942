#include "sandbox-image/agent/tree_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/base/fd.h"
#include "sandbox-image/agent/entry_name.h"

namespace sandboxrun::agent {

namespace {

constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
/// A deeper tree would need more descriptors than a process has.
constexpr std::size_t kMaxRemovalDepth = 512;

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

/// The names in a folder but "." and "..", at most `max` + 1 of them.
Result<std::vector<std::string>> names_in(int folder, std::int64_t max) {
  // A descriptor of its own: reading moves the offset.
  UniqueFd own(::openat(folder, ".", kFolder));
  if (!own) return system_failure("opening the folder", errno);
  const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(own.get()));
  if (!dir) return system_failure("reading the folder", errno);
  own.release();
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr && errno != 0) return system_failure("reading the folder", errno);
    if (entry == nullptr) return names;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    names.emplace_back(name);
    if (std::cmp_greater(names.size(), max)) return names;
  }
}

/// A folder on the way down: its names in reverse order, so that the next is the last.
struct Level {
  UniqueFd folder;
  std::string path;
  std::vector<std::string> names;
};

std::unexpected<Error> at_entry(std::string_view path, const Error& error) {
  if (path.empty()) return std::unexpected(error);
  return failure_within(quote_name(path), error);
}

class Walk {
 public:
  Walk(const WalkLimits& limits, const std::function<Result<void>(const WalkEntry&)>& visit)
      : limits_(limits), visit_(visit) {}

  Result<void> run(int root) {
    if (auto entered = enter(UniqueFd(::openat(root, ".", kFolder)), ""); !entered) return entered;
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.names.empty()) {
        levels_.pop_back();
        continue;
      }
      const std::string name = std::move(level.names.back());
      level.names.pop_back();
      WalkEntry entry;
      entry.path = level.path.empty() ? name : level.path + '/' + name;
      if (auto visited = visit(level.folder.get(), name, entry); !visited) {
        return at_entry(entry.path, visited.error());
      }
    }
    return {};
  }

 private:
  Result<void> visit(int folder, const std::string& name, WalkEntry& entry) {
    if (std::cmp_greater(levels_.size(), limits_.max_depth)) {
      return failure(ErrorKind::LimitExceeded,
                     "it lies more than " + std::to_string(limits_.max_depth) + " folders deep");
    }
    const UniqueFd file(::openat(folder, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!file && errno == ENOENT) {
      return failure(ErrorKind::ArchiveUnsafe, "it vanished while the folder was read");
    }
    if (!file) return system_failure("opening it", errno);
    if (::fstat(file.get(), &entry.status) != 0) return system_failure("looking at it", errno);
    entry.fd = file.get();
    if (auto visited = visit_(entry); !visited) return visited;
    if (!S_ISDIR(entry.status.st_mode)) return {};
    // "." below an O_PATH descriptor is the folder that was looked at, whatever the name is now.
    return enter(UniqueFd(::openat(file.get(), ".", kFolder)), entry.path);
  }

  Result<void> enter(UniqueFd folder, const std::string& path) {
    if (!folder) return system_failure("opening the folder", errno);
    auto names = names_in(folder.get(), limits_.max_entries - seen_);
    if (!names) return std::unexpected(names.error());
    seen_ += static_cast<std::int64_t>(names->size());
    if (seen_ > limits_.max_entries) {
      return failure(
          ErrorKind::LimitExceeded,
          "there are more than " + std::to_string(limits_.max_entries) + " files and folders");
    }
    std::ranges::sort(*names, std::ranges::greater{});
    levels_.push_back({std::move(folder), path, std::move(*names)});
    return {};
  }

  const WalkLimits& limits_;
  const std::function<Result<void>(const WalkEntry&)>& visit_;
  std::vector<Level> levels_;
  std::int64_t seen_ = 0;
};

/// Opens a folder to empty it; one that its owner may not read is made readable.
UniqueFd open_to_empty(int parent, const char* name) {
  UniqueFd folder(::openat(parent, name, kFolder));
  if (!folder && errno == EACCES && ::fchmodat(parent, name, 0700, 0) == 0) {
    folder.reset(::openat(parent, name, kFolder));
  }
  return folder;
}

}  // namespace

Result<void> walk_tree(int root, const WalkLimits& limits,
                       const std::function<Result<void>(const WalkEntry&)>& visit) {
  return Walk(limits, visit).run(root);
}

Result<void> empty_folder(int root) {
  constexpr std::int64_t kBatch = 4096;  // names kept in memory at a time
  struct Open {
    UniqueFd folder;
    std::string name;
  };
  std::vector<Open> levels;
  levels.push_back({open_to_empty(root, "."), ""});
  if (!levels.back().folder) return system_failure("opening the folder", errno);
  while (!levels.empty()) {
    const int here = levels.back().folder.get();
    const auto names = names_in(here, kBatch);
    if (!names) return std::unexpected(names.error());
    std::string deeper;
    for (const std::string& name : *names) {
      if (::unlinkat(here, name.c_str(), 0) == 0) continue;
      if (errno != EISDIR && errno != EPERM && errno != EACCES) {
        return system_failure("removing " + quote_name(name), errno);
      }
      if (::unlinkat(here, name.c_str(), AT_REMOVEDIR) == 0) continue;
      deeper = name;
      break;
    }
    if (!deeper.empty()) {
      UniqueFd next(open_to_empty(here, deeper.c_str()));
      if (!next || levels.size() >= kMaxRemovalDepth) {
        return system_failure("emptying " + quote_name(deeper), next ? ELOOP : errno);
      }
      // What a folder without write permission holds can be removed once its owner may write.
      ::fchmod(next.get(), 0700);
      levels.push_back({std::move(next), std::move(deeper)});
      continue;
    }
    if (!names->empty()) continue;
    const std::string done = std::move(levels.back().name);
    levels.pop_back();
    if (!levels.empty() &&
        ::unlinkat(levels.back().folder.get(), done.c_str(), AT_REMOVEDIR) != 0) {
      return system_failure("removing " + quote_name(done), errno);
    }
  }
  return {};
}

Result<bool> is_empty_folder(int folder) {
  const auto names = names_in(folder, 0);
  if (!names) return std::unexpected(names.error());
  return names->empty();
}

}  // namespace sandboxrun::agent
