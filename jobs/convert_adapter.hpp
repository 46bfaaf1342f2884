// The part of ladle convert that is about adapters of decoders.
#pragma once

#include <string>

#include "ladle/config/job_options.hpp"

namespace ladle {

/// True if --to asks for experts of decoders (moa, adapter), or the input holds some.
bool converts_adapter(const JobOptions& job);

/// Experts from any format to the one that --to names. Returns the line for the user.
std::string convert_adapter(const JobOptions& job);

}  // namespace ladle
