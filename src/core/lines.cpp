// Cutting of texts into lines.
#include "ladle/core/lines.hpp"

#include <algorithm>
#include <utility>

#include "ladle/core/error.hpp"

namespace ladle {

Lines::Lines(std::string_view text, std::string path, std::size_t most_line_bytes)
    : rest_(text), path_(std::move(path)), most_line_bytes_(most_line_bytes) {}

std::optional<std::string_view> Lines::next() {
    if (rest_.empty()) {
        return std::nullopt;
    }
    std::string_view line = rest_.substr(0, rest_.find('\n'));
    rest_.remove_prefix(std::min(rest_.size(), line.size() + 1));
    ++number_;
    if (line.ends_with('\r')) {
        line.remove_suffix(1);
    }
    if (line.size() > most_line_bytes_) {
        throw DataError("cannot read " + label(), "it is longer than " + std::to_string(most_line_bytes_) + " bytes",
                        "check that it is the file you meant");
    }
    return line;
}

std::string Lines::label() const {
    return path_ + ", line " + std::to_string(number_);
}

}  // namespace ladle
