#include "controller/runtime/metrics.h"

#include <gtest/gtest.h>

namespace oms::runtime {
namespace {

TEST(Metrics, CountersAndGaugesAreWrittenAsPrometheusReadsThem) {
  Registry registry;
  registry.Counter("b_total", "What b counts.", {"x", "y"}).Add({"1", "2"});
  registry.Counter("b_total", "", {}).Add({"1", "2"}, 2);
  registry.Gauge("a", "A \\ gauge\nof two lines.").Set({}, 1.5);
  EXPECT_EQ(registry.Text(),
            "# HELP a A \\\\ gauge\\nof two lines.\n"
            "# TYPE a gauge\n"
            "a 1.5\n"
            "# HELP b_total What b counts.\n"
            "# TYPE b_total counter\n"
            "b_total{x=\"1\",y=\"2\"} 3\n");
}

TEST(Metrics, LabelValuesAreEscaped) {
  Registry registry;
  registry.Gauge("a", "h", {"l"}).Set({"q\"b\\n\n"}, 1);
  EXPECT_NE(registry.Text().find("a{l=\"q\\\"b\\\\n\\n\"} 1\n"), std::string::npos);
}

TEST(Metrics, AHistogramsBucketsAreCumulative) {
  Registry registry;
  auto& family = registry.Histogram("h", "x", {"l"}, {1, 5});
  family.Observe({"v"}, 1);
  family.Observe({"v"}, 3);
  family.Observe({"v"}, 7);
  EXPECT_EQ(registry.Text(),
            "# HELP h x\n"
            "# TYPE h histogram\n"
            "h_bucket{l=\"v\",le=\"1\"} 1\n"
            "h_bucket{l=\"v\",le=\"5\"} 2\n"
            "h_bucket{l=\"v\",le=\"+Inf\"} 3\n"
            "h_sum{l=\"v\"} 11\n"
            "h_count{l=\"v\"} 3\n");
  EXPECT_EQ(family.Value({"v"}), 3);
}

TEST(Metrics, ARemovedSeriesIsNotShown) {
  Registry registry;
  auto& family = registry.Gauge("g", "x", {"l"});
  family.Set({"v"}, 1);
  family.Remove({"v"});
  EXPECT_EQ(registry.Text(), "");
}

TEST(Metrics, TheProcessIsMeasuredWhenAsked) {
  Registry registry;
  AddProcessMetrics(registry);
  registry.Text();
  EXPECT_GT(registry.Gauge("process_resident_memory_bytes", "").Value({}), 1e5);
  EXPECT_GT(registry.Gauge("process_open_fds", "").Value({}), 2);
}

TEST(Metrics, RequestsAreCountedByCodeMethodAndHost) {
  Registry registry;
  RestRequestCounter(registry)("200", "GET", "h:1");
  EXPECT_NE(registry.Text().find(
                "rest_client_requests_total{code=\"200\",method=\"GET\",host=\"h:1\"} 1"),
            std::string::npos);
}

}  // namespace
}  // namespace oms::runtime
