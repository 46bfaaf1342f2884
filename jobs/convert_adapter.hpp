// The part of ladle convert that is about adapters of decoders.
#pragma once

#include <string>

#include "ladle/config/job_options.hpp"

namespace ladle {

/// True if --to asks for adapters of decoders: moa, or adapter.
bool converts_adapter(const JobOptions& job);

/// An adapter file to the published form (--to moa), or back (--to adapter). Returns the line for the user.
std::string convert_adapter(const JobOptions& job);

}  // namespace ladle
