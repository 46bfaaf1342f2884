// Switches of jobs that take a number of things.
#pragma once

#include <string>

#include "ladle/config/job_options.hpp"

namespace ladle {

/// The switch's whole number, or `otherwise` if it is not given. Throws ConfigError unless it is in least..1000000.
int count_switch(const JobOptions& job, const std::string& name, int otherwise, int least = 1);

}  // namespace ladle
