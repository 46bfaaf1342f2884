// Reading of such switches.
#include "count_switch.hpp"

#include <fmt/format.h>

#include <charconv>

#include "ladle/core/error.hpp"

namespace ladle {

int count_switch(const JobOptions& job, const std::string& name, int otherwise, int least) {
    constexpr int kMostCount = 1000000;
    if (!job.has(name)) {
        return otherwise;
    }
    const std::string text = job.value(name);
    int value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc() || end != text.data() + text.size() || value < least || value > kMostCount) {
        throw ConfigError(fmt::format("--{} {} is not understood", name, text),
                          fmt::format("it takes a whole number from {} to {}", least, kMostCount),
                          "correct it or leave it out");
    }
    return value;
}

}  // namespace ladle
