// How this program was built: settings from CMake, the commit from the build step.
#include "ladle/core/build_info.hpp"

#include <fmt/format.h>
#include <gnu/libc-version.h>

#include "ladle_build_settings.hpp"
#include "ladle_commit.hpp"

namespace ladle {

std::string build_commit() {
    return LADLE_COMMIT;
}

std::string build_description() {
    // The C library counts: its logarithm and cosine make the initial values.
    return fmt::format("version = {}\ncompiler = {}\nflags = {}\nlibraries = {}, glibc {}\n", LADLE_VERSION,
                       LADLE_COMPILER, LADLE_FLAGS, LADLE_LIBRARIES, gnu_get_libc_version());
}

std::string version_text() {
    return fmt::format("ladle {}\ncommit = {}\n{}", LADLE_VERSION, build_commit(), build_description());
}

}  // namespace ladle
