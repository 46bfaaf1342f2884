// The lines of a text in memory, with their numbers.
// Below text and data, whose files are read line by line.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ladle {

/// No line of a file of prompts or instructions is longer.
inline constexpr std::size_t kMostLineBytes = std::size_t{1} << 20U;

class Lines {
public:
    /// `text` must outlive this; `path` names it in errors.
    Lines(std::string_view text, std::string path, std::size_t most_line_bytes = std::string_view::npos);
    /// The next line without its LF or CRLF, or nothing at the end. Throws DataError naming a line that is too long.
    std::optional<std::string_view> next();
    /// "<path>, line <number>" of the line last handed out; numbers count from 1.
    std::string label() const;

private:
    std::string_view rest_;
    std::string path_;
    std::size_t most_line_bytes_;
    std::size_t number_ = 0;
};

}  // namespace ladle
