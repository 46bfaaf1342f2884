// Lines of a file in bounded memory, however long they are.
// Below tabular.cpp only.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace ladle {

class LineReader {
public:
    /// Throws DataError if the file cannot be opened or is a directory.
    LineReader(const std::string& path, std::size_t max_line_bytes);

    /// The next line without its LF or CRLF and, on the first line, without a byte order mark; false at the end.
    /// Of a line above the limit only the first bytes are kept; is_too_long() then tells.
    bool next(std::string& line);
    bool is_too_long() const { return is_too_long_; }
    std::int64_t line_number() const { return line_number_; }  ///< of the line last returned, from 1

private:
    bool fill();

    std::string path_;
    std::ifstream file_;
    std::size_t max_line_bytes_;
    std::vector<char> block_;
    std::size_t position_ = 0;
    std::size_t filled_ = 0;
    std::int64_t line_number_ = 0;
    bool is_too_long_ = false;
};

}  // namespace ladle
