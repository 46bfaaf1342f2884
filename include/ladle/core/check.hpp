// Checks of our own invariants; always on, never per element.
#pragma once

#include <string>

#include "ladle/core/error.hpp"

namespace ladle {

/// Throws InternalError with the caller's file and line if the condition does not hold. The compiler fills them in by
/// its built-in functions, because clang 14 has no std::source_location.
inline void check(bool condition, const char* expectation, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
    if (!condition) {
        throw InternalError(std::string("broken invariant at ") + file + ":" + std::to_string(line), expectation);
    }
}

}  // namespace ladle
