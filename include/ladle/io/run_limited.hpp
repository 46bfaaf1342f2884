// Work on bytes that may be hostile, done by a child process with limits.
// Below the reading of foreign HDF5 files, whose library can crash or loop on damaged ones.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace ladle {

/// What the child may use.
struct ChildLimits {
    std::size_t memory_bytes = std::size_t{1} << 30U;  ///< address space beyond what the program has already
    unsigned int cpu_seconds = 10;
    unsigned int wall_seconds = 60;
    std::size_t result_bytes = std::size_t{1} << 30U;
};

/// Runs `work` in a child process and returns its result. The child cannot write files. An Error that the work throws
/// is thrown here with the same text. A child that crashes, reaches a limit or ends without a result is a DataError:
/// `what` says what was tried (e.g. "cannot read a.h5"), why and fix follow.
/// Must not be called after MPI_Init, which forbids fork.
std::string run_limited(const std::string& what, const ChildLimits& limits, const std::function<std::string()>& work);

}  // namespace ladle
