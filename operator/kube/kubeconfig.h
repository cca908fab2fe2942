#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/kube/config.h"

namespace sandboxrun::kube {

/// Where a kubeconfig's text came from; relative paths in it are relative to the file's folder.
struct KubeconfigFile {
  std::string path;
  std::string text;
};

/// Merges the files as kubectl does (of clusters, users and contexts with the same name, and of
/// current-context, the first wins) and resolves `context` (empty: current-context).
/// Without proxy-url the proxy is left to the environment.
/// Caveats: what is not supported is an error, never passed over: auth-provider, as-user-extra,
/// more than one of as-groups, proxies that are not http. Errors: Invalid, naming the file, the
/// entry and the field.
Result<Config> resolve_kubeconfig(const std::vector<KubeconfigFile>& files,
                                  std::string_view context);

}  // namespace sandboxrun::kube
