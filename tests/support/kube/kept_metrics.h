#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/kube/metrics_hooks.h"

namespace sandboxrun::kube {

/// Metrics that a test can read.
class KeptMetrics final : public Metrics {
 public:
  void add(std::string_view metric, std::string_view name, double by) override {
    const std::lock_guard lock(mutex_);
    values_[key(metric, name)] += by;
  }
  void set(std::string_view metric, std::string_view name, double value) override {
    const std::lock_guard lock(mutex_);
    values_[key(metric, name)] = value;
  }
  void observe(std::string_view metric, std::string_view name, double value) override {
    const std::lock_guard lock(mutex_);
    observed_[key(metric, name)].push_back(value);
  }

  double value(std::string_view metric, std::string_view name) const {
    const std::lock_guard lock(mutex_);
    const auto found = values_.find(key(metric, name));
    return found == values_.end() ? 0 : found->second;
  }
  std::vector<double> observed(std::string_view metric, std::string_view name) const {
    const std::lock_guard lock(mutex_);
    const auto found = observed_.find(key(metric, name));
    return found == observed_.end() ? std::vector<double>{} : found->second;
  }

 private:
  using Key = std::pair<std::string, std::string>;
  static Key key(std::string_view metric, std::string_view name) {
    return {std::string(metric), std::string(name)};
  }

  mutable std::mutex mutex_;
  std::map<Key, double> values_;
  std::map<Key, std::vector<double>> observed_;
};

}  // namespace sandboxrun::kube
