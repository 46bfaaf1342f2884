// Reports: one HTML file about a run, or about all runs of a sweep.
#pragma once

#include <string>
#include <vector>

#include "ladle/research/run_files.hpp"

namespace ladle {

/// The page of one run: scores with ensemble and calibration, curves, routing, distances, parameters, provenance.
std::string run_report(const RunFiles& run);

/// The page of a sweep: per task a table over seeds, dots, paired tests, soups against their experts, and single
/// adapters of equal compute.
std::string sweep_report(const std::string& title, const std::vector<RunFiles>& runs);

}  // namespace ladle
