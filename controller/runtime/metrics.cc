#include "controller/runtime/metrics.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <utility>

namespace oms::runtime {
namespace {

std::string Number(double value) {
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (std::isnan(value)) return "NaN";
  return fmt::format("{}", value);
}

void AppendEscaped(std::string& out, const std::string& text, bool quotes) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

void AppendLine(std::string& out, const std::string& name, const std::vector<std::string>& names,
                const std::vector<std::string>& values, const std::string& bound, double value) {
  out += name;
  std::string separator = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    out += separator + names[i] + "=\"";
    AppendEscaped(out, i < values.size() ? values[i] : "", true);
    out += '"';
    separator = ",";
  }
  if (!bound.empty()) {
    out += separator + "le=\"" + bound + '"';
    separator = ",";
  }
  if (separator == ",") out += '}';
  out += ' ' + Number(value) + '\n';
}

// controller-runtime's buckets of reconcile times, in seconds.
std::vector<double> SecondsBuckets() {
  return {0.005, 0.01, 0.025, 0.05, 0.1,  0.15, 0.2,  0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6,
          0.7,   0.8,  0.9,   1.0,  1.25, 1.5,  1.75, 2.0,  2.5, 3.0,  3.5, 4.0,  4.5, 5,
          6,     7,    8,     9,    10,   15,   20,   25,   30,  40,   50,  60};
}

}  // namespace

MetricFamily::MetricFamily(MetricKind kind, std::string name, std::string help, Labels names,
                           std::vector<double> bounds)
    : kind_(kind),
      name_(std::move(name)),
      help_(std::move(help)),
      names_(std::move(names)),
      bounds_(std::move(bounds)) {}

void MetricFamily::Add(const Labels& labels, double delta) {
  std::lock_guard lock(mutex_);
  series_[labels].value += delta;
}

void MetricFamily::Set(const Labels& labels, double value) {
  std::lock_guard lock(mutex_);
  series_[labels].value = value;
}

void MetricFamily::Observe(const Labels& labels, double value) {
  std::lock_guard lock(mutex_);
  Series& series = series_[labels];
  if (series.buckets.empty()) series.buckets.resize(bounds_.size() + 1);
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  ++series.buckets[static_cast<size_t>(bucket)];
  ++series.count;
  series.value += value;
}

double MetricFamily::Value(const Labels& labels) const {
  std::lock_guard lock(mutex_);
  const auto found = series_.find(labels);
  if (found == series_.end()) return 0;
  return kind_ == MetricKind::kHistogram ? static_cast<double>(found->second.count)
                                         : found->second.value;
}

void MetricFamily::Remove(const Labels& labels) {
  std::lock_guard lock(mutex_);
  series_.erase(labels);
}

void MetricFamily::Write(std::string& out) const {
  std::lock_guard lock(mutex_);
  if (series_.empty()) return;
  out += "# HELP " + name_ + ' ';
  AppendEscaped(out, help_, false);
  out += "\n# TYPE " + name_ + ' ';
  switch (kind_) {
    case MetricKind::kCounter: out += "counter\n"; break;
    case MetricKind::kGauge: out += "gauge\n"; break;
    case MetricKind::kHistogram: out += "histogram\n"; break;
  }
  for (const auto& [labels, series] : series_) {
    if (kind_ != MetricKind::kHistogram) {
      AppendLine(out, name_, names_, labels, "", series.value);
      continue;
    }
    uint64_t below = 0;
    for (size_t i = 0; i < series.buckets.size(); ++i) {
      below += series.buckets[i];
      AppendLine(out, name_ + "_bucket", names_, labels,
                 i < bounds_.size() ? Number(bounds_[i]) : "+Inf", static_cast<double>(below));
    }
    AppendLine(out, name_ + "_sum", names_, labels, "", series.value);
    AppendLine(out, name_ + "_count", names_, labels, "", static_cast<double>(series.count));
  }
}

MetricFamily& Registry::Make(MetricKind kind, const std::string& name, const std::string& help,
                             std::vector<std::string> label_names, std::vector<double> bounds) {
  std::lock_guard lock(mutex_);
  auto& family = families_[name];
  if (!family) {
    family.reset(new MetricFamily(kind, name, help, std::move(label_names), std::move(bounds)));
  }
  return *family;
}

MetricFamily& Registry::Counter(const std::string& name, const std::string& help,
                                std::vector<std::string> label_names) {
  return Make(MetricKind::kCounter, name, help, std::move(label_names), {});
}

MetricFamily& Registry::Gauge(const std::string& name, const std::string& help,
                              std::vector<std::string> label_names) {
  return Make(MetricKind::kGauge, name, help, std::move(label_names), {});
}

MetricFamily& Registry::Histogram(const std::string& name, const std::string& help,
                                  std::vector<std::string> label_names,
                                  std::vector<double> bounds) {
  if (bounds.empty()) bounds = SecondsBuckets();
  return Make(MetricKind::kHistogram, name, help, std::move(label_names), std::move(bounds));
}

void Registry::OnCollect(std::function<void()> collect) {
  std::lock_guard lock(mutex_);
  collectors_.push_back(std::move(collect));
}

std::string Registry::Text() const {
  std::vector<std::function<void()>> collectors;
  std::vector<const MetricFamily*> families;
  {
    std::lock_guard lock(mutex_);
    collectors = collectors_;
    for (const auto& [name, family] : families_) families.push_back(family.get());
  }
  for (const auto& collect : collectors) collect();
  std::string out;
  for (const MetricFamily* family : families) family->Write(out);
  return out;
}

std::function<void(std::string_view, std::string_view, std::string_view)> RestRequestCounter(
    Registry& registry) {
  MetricFamily& family =
      registry.Counter("rest_client_requests_total",
                       "Number of HTTP requests, partitioned by status code, method, and host.",
                       {"code", "method", "host"});
  return [&family](std::string_view code, std::string_view method, std::string_view host) {
    family.Add({std::string(code), std::string(method), std::string(host)});
  };
}

void AddProcessMetrics(Registry& registry) {
  MetricFamily& cpu = registry.Counter("process_cpu_seconds_total",
                                       "Total user and system CPU time spent in seconds.");
  MetricFamily& resident =
      registry.Gauge("process_resident_memory_bytes", "Resident memory size in bytes.");
  MetricFamily& files = registry.Gauge("process_open_fds", "Number of open file descriptors.");
  registry
      .Gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")
      .Set({}, static_cast<double>(std::time(nullptr)));
  registry.OnCollect([&cpu, &resident, &files] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    cpu.Set({}, seconds(usage.ru_utime) + seconds(usage.ru_stime));
    if (std::FILE* statm = std::fopen("/proc/self/statm", "re")) {
      unsigned long total = 0, pages = 0;
      if (std::fscanf(statm, "%lu %lu", &total, &pages) == 2) {
        resident.Set({}, static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE)));
      }
      std::fclose(statm);
    }
    if (DIR* folder = opendir("/proc/self/fd")) {
      int count = -3;  // ".", ".." and the folder itself.
      while (readdir(folder) != nullptr) ++count;
      closedir(folder);
      files.Set({}, count);
    }
  });
}

}  // namespace oms::runtime
