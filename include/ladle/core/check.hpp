// Checks of our own invariants; always on, never per element.
#pragma once

#include <source_location>
#include <string>

#include "ladle/core/error.hpp"

namespace ladle {

/// Throws InternalError with file and line if the condition does not hold.
inline void check(bool condition, const char* expectation,
                  const std::source_location& where = std::source_location::current()) {
    if (!condition) {
        throw InternalError(
            std::string("broken invariant at ") + where.file_name() + ":" + std::to_string(where.line()), expectation);
    }
}

}  // namespace ladle
