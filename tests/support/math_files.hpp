// The published math sets, which this repository does not hold.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>

namespace ladle::test {

/// LADLE_MATH_DIR, else ../shared/data/math beside the repository; none, and a line that says so, where they are not.
inline std::optional<std::string> math_directory() {
    const char* given = std::getenv("LADLE_MATH_DIR");
    const std::string directory =
        given != nullptr ? given : std::string(LADLE_TEST_FIXTURES) + "/../../../shared/data/math";
    if (!std::filesystem::exists(directory + "/gsm8k_test.json")) {
        std::cout << "SKIPPED: no published math files in " << directory << " (set LADLE_MATH_DIR)\n";
        return {};
    }
    return directory;
}

}  // namespace ladle::test
