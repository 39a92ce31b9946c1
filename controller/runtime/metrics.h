// Counters, gauges and histograms, as Prometheus text (format 0.0.4).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace oms::runtime {

enum class MetricKind { kCounter, kGauge, kHistogram };

// All time series of one name. Thread-safe. `labels` are values in the order of the family's names.
class MetricFamily {
 public:
  using Labels = std::vector<std::string>;

  void Add(const Labels& labels, double delta = 1);  // Counter (delta >= 0) or gauge.
  void Set(const Labels& labels, double value);      // Gauge.
  void Observe(const Labels& labels, double value);  // Histogram.
  double Value(const Labels& labels) const;          // Histogram: the number of observations.
  void Remove(const Labels& labels);                 // The series is no longer shown.

 private:
  friend class Registry;
  struct Series {
    double value = 0;  // Histogram: the sum.
    uint64_t count = 0;
    std::vector<uint64_t> buckets;  // Not cumulative.
  };

  MetricFamily(MetricKind kind, std::string name, std::string help, Labels names,
               std::vector<double> bounds);
  void Write(std::string& out) const;

  const MetricKind kind_;
  const std::string name_;
  const std::string help_;
  const Labels names_;
  const std::vector<double> bounds_;
  mutable std::mutex mutex_;
  std::map<Labels, Series> series_;
};

// Owns the families; they live as long as it does. Thread-safe. Asking for a name again gives the
// same family.
class Registry {
 public:
  MetricFamily& Counter(const std::string& name, const std::string& help,
                        std::vector<std::string> label_names = {});
  MetricFamily& Gauge(const std::string& name, const std::string& help,
                      std::vector<std::string> label_names = {});
  // `bounds` rising; empty: controller-runtime's for seconds.
  MetricFamily& Histogram(const std::string& name, const std::string& help,
                          std::vector<std::string> label_names = {},
                          std::vector<double> bounds = {});
  // Called before each Text(), to set gauges that are cheap to read.
  void OnCollect(std::function<void()> collect);

  std::string Text() const;

 private:
  MetricFamily& Make(MetricKind kind, const std::string& name, const std::string& help,
                     std::vector<std::string> label_names, std::vector<double> bounds);

  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<MetricFamily>> families_;
  std::vector<std::function<void()>> collectors_;
};

// rest_client_requests_total{code,method,host}, as a callback for kube::RestOptions::on_request.
std::function<void(std::string_view, std::string_view, std::string_view)> RestRequestCounter(
    Registry& registry);
// process_* (CPU seconds, resident bytes, open files, start time), as Prometheus clients name them.
void AddProcessMetrics(Registry& registry);

}  // namespace oms::runtime
