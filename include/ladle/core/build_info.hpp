// How this program was built.
#pragma once

#include <string>

namespace ladle {

/// Commit of the sources, "-dirty" appended when files differed from it; "unknown" outside a repository.
std::string build_commit();

/// What decides the bits of results besides inputs: program version, compiler and flags, libraries whose code computes
/// or writes results. One "name = value" per line. Part of the identity of a run.
std::string build_description();

/// Version, commit, build and libraries, one "name = value" per line.
std::string version_text();

}  // namespace ladle
