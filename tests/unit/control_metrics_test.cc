#include "operator/control/metrics.h"

#include <gtest/gtest.h>

#include <string>

#include "operator/kube/metrics_hooks.h"

namespace sandboxrun::control {
namespace {

TEST(Metrics, CountersAndGaugesAreShownWithTheirLabels) {
  MetricsRegistry metrics({{"a_total", MetricType::Counter, "As.", {"reason", "kind"}, {}},
                           {"b", MetricType::Gauge, "Bs.", {}, {}}});
  metrics.add("a_total", MetricsRegistry::Labels{"x", "say \"hi\"\n"}, 1);
  metrics.add("a_total", MetricsRegistry::Labels{"x", "say \"hi\"\n"}, 2);
  metrics.set("b", MetricsRegistry::Labels{}, 0.5);
  EXPECT_EQ(metrics.expose(),
            "# HELP a_total As.\n# TYPE a_total counter\n"
            "a_total{reason=\"x\",kind=\"say \\\"hi\\\"\\n\"} 3\n"
            "# HELP b Bs.\n# TYPE b gauge\n"
            "b 0.5\n");
}

TEST(Metrics, BucketsOfAHistogramAddUp) {
  MetricsRegistry metrics({{"h", MetricType::Histogram, "Hs.", {"name"}, {0.5, 1}}});
  for (const double value : {0.25, 0.5, 0.75, 8.0}) metrics.observe("h", "q", value);
  EXPECT_EQ(metrics.expose(),
            "# HELP h Hs.\n# TYPE h histogram\n"
            "h_bucket{name=\"q\",le=\"0.5\"} 2\n"
            "h_bucket{name=\"q\",le=\"1\"} 3\n"
            "h_bucket{name=\"q\",le=\"+Inf\"} 4\n"
            "h_sum{name=\"q\"} 9.5\n"
            "h_count{name=\"q\"} 4\n");
}

TEST(Metrics, WhatIsNoFamilyIsLeftOut) {
  MetricsRegistry metrics({{"a", MetricType::Gauge, "As.", {}, {}}});
  metrics.set("other", "q", 1);
  metrics.set("a", "a label that it doesn't have", 1);
  EXPECT_EQ(metrics.expose(), "");
}

TEST(Metrics, TheOperatorsFamiliesTakeWhatTheQueueReports) {
  MetricsRegistry metrics(operator_metrics());
  metrics.set(kube::metric::kQueueDepth, "sandboxrun", 3);
  EXPECT_NE(metrics.expose().find("workqueue_depth{name=\"sandboxrun\"} 3\n"), std::string::npos);
}

}  // namespace
}  // namespace sandboxrun::control
