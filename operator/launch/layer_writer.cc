#include "operator/launch/layer_writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <ranges>

#include "operator/base/fd.h"
#include "operator/launch/files.h"

namespace sandboxrun::launch {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr int kMaxDepth = 256;

int open_in_root(int root, const std::string& path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(
      syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how));
}

/// "a/b" of "./a//b/" or "/a/b"; nothing if a component is "..".
std::optional<std::string> normalised(std::string_view path) {
  std::string out;
  int depth = 0;
  for (const auto part : path | std::views::split('/')) {
    const std::string_view component(part.begin(), part.end());
    if (component.empty() || component == ".") continue;
    if (component == ".." || ++depth > kMaxDepth) return std::nullopt;
    if (!out.empty()) out += '/';
    out += component;
  }
  return out;
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 200)) {
    const bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    out += plain ? c : '?';
  }
  return out;
}

}  // namespace

bool LayerWriter::fail(const std::string& path, std::string_view rule) {
  error_ = "the layer's entry \"" + escaped(path) + "\" " + std::string(rule);
  return false;
}

bool LayerWriter::fail_errno(const std::string& path, int number) {
  return fail(path, std::string("could not be written: ") + strerror(number));
}

bool LayerWriter::make_parents(const std::string& parent) {
  for (std::size_t end = parent.find('/');; end = parent.find('/', end + 1)) {
    const std::string prefix = parent.substr(0, end);
    const UniqueFd above(open_in_root(root_, parent_of(prefix), O_PATH | O_DIRECTORY));
    const auto slash = prefix.rfind('/');
    const std::string name = slash == std::string::npos ? prefix : prefix.substr(slash + 1);
    if (!above) return fail_errno(prefix, errno);
    if (mkdirat(above.get(), name.c_str(), 0755) == 0) {
      directories_[prefix] = 0755;
    } else if (errno != EEXIST) {
      return fail_errno(prefix, errno);
    }
    if (end == std::string::npos) return true;
  }
}

int LayerWriter::open_parent(const std::string& path) {
  const std::string parent = parent_of(path);
  int opened = open_in_root(root_, parent, O_RDONLY | O_DIRECTORY);
  if (opened < 0 && errno == ENOENT && make_parents(parent)) {
    opened = open_in_root(root_, parent, O_RDONLY | O_DIRECTORY);
  }
  if (opened < 0 && error_.empty()) fail_errno(path, errno);
  return opened;
}

bool LayerWriter::clear_opaque(const std::string& directory) {
  const int opened = open_in_root(root_, directory, O_RDONLY | O_DIRECTORY);
  if (opened < 0) return errno == ENOENT || fail_errno(directory, errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(opened), &closedir);
  if (!stream) return fail_errno(directory, errno);
  std::vector<std::string> hidden;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = directory.empty() ? name : directory + "/" + name;
    if (!written_.contains(path)) hidden.push_back(name);
  }
  for (const std::string& name : hidden) {
    if (!remove_tree(dirfd(stream.get()), name)) return fail(directory, "could not be cleared");
  }
  return true;
}

bool LayerWriter::link_to(const std::string& target, int parent, const std::string& path,
                          const std::string& name) {
  const auto source = normalised(target);
  if (!source) return fail(path, "is a hard link that leaves the image");
  const UniqueFd directory(open_in_root(root_, parent_of(*source), O_PATH | O_DIRECTORY));
  const auto slash = source->rfind('/');
  const std::string source_name = slash == std::string::npos ? *source : source->substr(slash + 1);
  if (!directory || linkat(directory.get(), source_name.c_str(), parent, name.c_str(), 0) != 0) {
    return fail(path, "is a hard link to something that is not there");
  }
  return true;
}

bool LayerWriter::write_file(archive* reader, archive_entry* entry, int parent,
                             const std::string& path, const std::string& name) {
  const UniqueFd file(
      openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return fail_errno(path, errno);
  const void* block = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  int status = ARCHIVE_OK;
  while ((status = archive_read_data_block(reader, &block, &size, &offset)) == ARCHIVE_OK) {
    const char* at = static_cast<const char*>(block);
    while (size > 0) {
      const ssize_t put = pwrite(file.get(), at, size, offset);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return fail_errno(path, errno);
      at += put;
      offset += put;
      size -= static_cast<std::size_t>(put);
    }
  }
  if (status != ARCHIVE_EOF) return fail(path, "is damaged");
  if (archive_entry_size(entry) > 0 && ftruncate(file.get(), archive_entry_size(entry)) != 0) {
    return fail_errno(path, errno);
  }
  if (fchmod(file.get(), archive_entry_perm(entry) & 0777) != 0) return fail_errno(path, errno);
  return true;
}

bool LayerWriter::write(archive* reader, archive_entry* entry) {
  const char* raw = archive_entry_pathname(entry);
  const auto path = normalised(raw == nullptr ? "" : raw);
  if (!path) return fail(raw == nullptr ? "" : raw, "leaves the image or is too deep");
  const mode_t type = archive_entry_filetype(entry);
  const char* hard_link = archive_entry_hardlink(entry);
  if (path->empty()) {
    if (type != AE_IFDIR) return fail(raw, "has no name");
    directories_[""] = archive_entry_perm(entry) & 0777;
    return true;
  }
  const auto slash = path->rfind('/');
  const std::string name = slash == std::string::npos ? *path : path->substr(slash + 1);
  if (name == kOpaque) return clear_opaque(parent_of(*path));
  const bool device =
      hard_link == nullptr && (type == AE_IFCHR || type == AE_IFBLK || type == AE_IFIFO);
  if (device && path->starts_with("dev/")) return true;

  const UniqueFd parent(open_parent(*path));
  if (!parent) return false;
  if (name.starts_with(kWhiteout)) {
    const std::string hidden = name.substr(kWhiteout.size());
    if (hidden.empty() || hidden == "." || hidden == "..") return fail(*path, "is no whiteout");
    if (!remove_tree(parent.get(), hidden)) return fail(*path, "could not be removed");
    return true;
  }
  written_.insert(*path);
  for (std::string above = parent_of(*path); !above.empty() && written_.insert(above).second;) {
    above = parent_of(above);
  }
  struct stat there{};
  const bool exists = fstatat(parent.get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0;
  if (hard_link == nullptr && type == AE_IFDIR) {
    if (exists && !S_ISDIR(there.st_mode) && unlinkat(parent.get(), name.c_str(), 0) != 0) {
      return fail_errno(*path, errno);
    }
    if (mkdirat(parent.get(), name.c_str(), 0755) != 0 && errno != EEXIST) {
      return fail_errno(*path, errno);
    }
    directories_[*path] = archive_entry_perm(entry) & 0777;
    return true;
  }
  if (exists && !remove_tree(parent.get(), name)) return fail(*path, "could not be replaced");
  if (hard_link != nullptr) return link_to(hard_link, parent.get(), *path, name);
  if (type == AE_IFREG) return write_file(reader, entry, parent.get(), *path, name);
  if (type == AE_IFLNK) {
    const char* target = archive_entry_symlink(entry);
    if (target == nullptr || symlinkat(target, parent.get(), name.c_str()) != 0) {
      return fail(*path, "is a symbolic link that cannot be made");
    }
    return true;
  }
  return fail(*path, "is a device, fifo or socket; images may hold those below /dev only");
}

bool LayerWriter::finish() {
  // Children before parents: a folder that its owner may not enter hides what is below it.
  for (const auto& [path, mode] : directories_ | std::views::reverse) {
    const UniqueFd directory(open_in_root(root_, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (!directory) continue;  // a later layer replaced or removed it
    if (fchmod(directory.get(), mode) != 0) return fail_errno(path, errno);
  }
  return true;
}

}  // namespace sandboxrun::launch
