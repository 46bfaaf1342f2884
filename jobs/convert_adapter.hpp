// The part of ladle convert that is about adapters of decoders.
#pragma once

#include <optional>
#include <string>

#include "ladle/config/job_options.hpp"
#include "ladle/io/adapter_formats.hpp"

namespace ladle {

/// True if --to asks for experts of decoders (moa, adapter), or the input, which is of format `from`, holds some.
bool converts_adapter(const JobOptions& job, std::optional<AdapterFormat> from);

/// Experts from that format to the one that --to names. Returns the line for the user.
std::string convert_adapter(const JobOptions& job, std::optional<AdapterFormat> from);

}  // namespace ladle
