#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <unordered_set>
#include <vector>

struct archive;
struct archive_entry;

namespace sandboxrun::launch {

/// Writes the entries of layer after layer into one tree. Runs in the confined child of
/// apply_layers; errors are sentences in `error()`.
class LayerWriter {
 public:
  explicit LayerWriter(int root) : root_(root) {}

  /// Forgets what the previous layer wrote: opaque whiteouts hide only lower layers.
  void begin_layer() { written_.clear(); }
  bool write(archive* reader, archive_entry* entry);
  /// Sets the modes of folders, which must stay writable until all is written.
  bool finish();
  const std::string& error() const { return error_; }

 private:
  bool fail(const std::string& path, std::string_view rule);
  bool fail_errno(const std::string& path, int number);
  int open_parent(const std::string& path);
  bool make_parents(const std::string& parent);
  bool clear_opaque(const std::string& directory);
  bool write_file(archive* reader, archive_entry* entry, int parent, const std::string& path,
                  const std::string& name);
  bool link_to(const std::string& target, int parent, const std::string& path,
               const std::string& name);

  int root_;
  std::string error_;
  std::unordered_set<std::string> written_;  // paths of this layer
  std::map<std::string, mode_t> directories_;
};

}  // namespace sandboxrun::launch
