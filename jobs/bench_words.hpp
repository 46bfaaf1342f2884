// The words that ladle bench takes: its options and switches and what they mean.
#pragma once

#include "ladle/config/job_options.hpp"

namespace ladle {

JobSpec bench_spec();

}  // namespace ladle
