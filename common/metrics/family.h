// A metric family made from its row of the catalogue: the name, help text, labels and buckets can't differ from it, and the
// compiler counts the label values.
//
// Threads: any. A reference from With() is valid until Remove() of the same values.
//
//   metrics::Family jobs(registry, metrics::kJobs);      // the label sets known beforehand are there at once, at 0
//   jobs.With({"RUNNING"}).Set(3);
#pragma once

#include <array>
#include <string>
#include <type_traits>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "common/metrics/catalogue.h"

namespace pixelrec::metrics {

template <typename Metric, size_t N>
class Family {
 public:
  using Values = std::array<std::string, N>;

  // Two families of one definition and registry share their series.
  Family(prometheus::Registry& registry, const Definition<Metric, N>& definition)
      : definition_(definition), family_(Build(registry, definition)) {
    if (!definition.initialise) return;
    Values values;
    AddKnown(0, values);
  }

  Metric& With(const Values& values) {
    if constexpr (std::is_same_v<Metric, prometheus::Histogram>) {
      return family_.Add(Labels(values),
                         prometheus::Histogram::BucketBoundaries(definition_.buckets.begin(), definition_.buckets.end()));
    } else {
      return family_.Add(Labels(values));
    }
  }

  // Ends the series of these values, if there is one.
  void Remove(const Values& values) {
    const prometheus::Labels labels = Labels(values);
    if (family_.Has(labels)) family_.Remove(&With(values));
  }

 private:
  static prometheus::Family<Metric>& Build(prometheus::Registry& registry, const Definition<Metric, N>& definition) {
    const std::string name(definition.name), help(definition.help);
    if constexpr (std::is_same_v<Metric, prometheus::Counter>) {
      return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
    } else if constexpr (std::is_same_v<Metric, prometheus::Gauge>) {
      return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
    } else {
      return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
    }
  }

  prometheus::Labels Labels(const Values& values) const {
    prometheus::Labels labels;
    for (size_t i = 0; i < N; ++i) labels.emplace(std::string(definition_.labels[i].name), values[i]);
    return labels;
  }

  // Every combination of known values; nothing if some label has none.
  void AddKnown(size_t label, Values& values) {
    if (label == N) {
      With(values);
      return;
    }
    for (std::string_view known : definition_.labels[label].known) {
      values[label] = std::string(known);
      AddKnown(label + 1, values);
    }
  }

  const Definition<Metric, N>& definition_;
  prometheus::Family<Metric>& family_;
};

// pixelrec_build_info of this program.
void SetBuildInfo(prometheus::Registry& registry, const std::string& program, const std::string& version);

}  // namespace pixelrec::metrics
