// From a sweep's files and command line to its runs: every combination of the listed values, each a whole config.
// The first step of `ladle sweep`; it looks at no data and writes nothing.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ladle/config/config.hpp"
#include "ladle/config/job_options.hpp"

namespace ladle {

/// What a sweep is made from. A value may be a list, `a, b, c` or `0..4` (whole numbers, both ends included), and may
/// hold {NAME}, which stands for the value of that option (or of {method}) in the run. Sweep files are config files
/// that may also hold
///   [sweep] config = FILE, FILE   plain config files below this one in precedence, relative to this file
///   [method.NAME] OPTION = VALUE  a named set of options; each method is one value of the axis "method"
/// Precedence, low to high: [sweep] config, config files in order, method, command line.
struct SweepSource {
    std::vector<std::string> config_files;
    std::vector<Assignment> assignments;  ///< of the command line
};

/// Names and values, in order.
using NamedValues = std::vector<std::pair<std::string, std::string>>;

/// One run of a sweep.
struct GridPoint {
    NamedValues values;  ///< what tells this run's group from others: value per axis; the seed is not among them
    Config config;       ///< resolved; run.dir is empty
    std::string id;      ///< see run_id
};

/// A comma-separated list with its ranges written out; a value in double quotes may hold commas. Throws ConfigError
/// naming `name` if it holds no value or an empty one.
std::vector<std::string> list_values(const std::string& name, const std::string& text);

/// 12 hexadecimal digits of the SHA-256 over the identity options with the seed, and over `more`: what tells runs of
/// one sweep apart without being identity, e.g. model.path where it is listed.
std::string run_id(const Config& config, const NamedValues& more);

/// The runs in order: axes as they appear in files and command line, then methods, then seeds; without run.seed the
/// seeds are 0 to 4. Throws ConfigError for an unknown option (with a suggestion), an empty list, a value that does not
/// fit, run.dir, and two runs that are the same.
std::vector<GridPoint> expand_grid(const SweepSource& source);

/// The options of a sweep as INI text that makes the same grid, with the origin of each as a comment; ranges are
/// written out. Throws what reading the files throws.
std::string grid_text(const SweepSource& source);

}  // namespace ladle
