#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/base/document.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::test {

/// How a call of kubectl ended.
struct KubectlResult {
  int exit_code = -1;
  std::string out;
  std::string err;
};

/// The real cluster of tests/cluster, as its administrator.
/// Guarantees: it is up when the constructor returns. One that is up already is used; it is never
/// taken down from here, since other tests and people may use it (tests/cluster/down.sh does).
/// Assumptions: root; the programs of tests/tools are built (`./dev cluster up` or `./dev setup`).
/// Errors are std::runtime_error with what kubectl or up.sh said.
class Cluster {
 public:
  Cluster();

  /// Path of the administrator's kubeconfig.
  std::string kubeconfig() const;
  /// Where images are pushed to and pulled from, as host:port.
  std::string registry() const;

  /// The address of the node, which pods reach and on which tests may listen for them.
  static constexpr const char* kNodeAddress = "10.89.0.1";
  /// What publish.sh pushed under that name, as a reference with its digest: "sandbox", "operator",
  /// "sandbox-base", "sandbox-tiny".
  std::string image(const std::string& name) const;
  /// Pushes a published image with one more layer, a tar archive, and gives its reference.
  std::string with_layer(const std::string& name, const std::string& layer) const;
  /// A folder with environments.lock, the file of the examples' placeholders; and values.yaml, with
  /// which the chart can be installed here.
  std::string folder() const;

  /// Runs kubectl with `input` as its standard input; `-f -` reads it.
  KubectlResult kubectl(const std::vector<std::string>& arguments,
                        std::string_view input = {}) const;
  /// Its standard output; throws unless it exits with 0.
  std::string kubectl_output(const std::vector<std::string>& arguments,
                             std::string_view input = {}) const;

  /// Server-side apply of a manifest in YAML or JSON.
  void apply(std::string_view manifest) const;
  /// One object, or a list if `name` is empty.
  Node get(const std::string& resource, const std::string& name_space,
           const std::string& name = "") const;
  /// Applies crds/ and waits until the API server serves them.
  void install_crds() const;

 private:
  TempDir work_;
};

/// A namespace of its own with Pod Security enforce=restricted, deleted with the object (kubectl
/// does not wait for the end of its pods).
class TestNamespace {
 public:
  /// `name` is made unique. The cluster must outlive the object.
  TestNamespace(const Cluster& cluster, const std::string& name);
  ~TestNamespace();
  TestNamespace(const TestNamespace&) = delete;
  TestNamespace& operator=(const TestNamespace&) = delete;

  const std::string& name() const { return name_; }

 private:
  const Cluster& cluster_;
  std::string name_;
};

}  // namespace sandboxrun::test
