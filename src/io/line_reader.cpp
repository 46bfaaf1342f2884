// Reads a file in blocks and cuts it at line feeds.
#include "line_reader.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 18U;
constexpr const char* kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

LineReader::LineReader(const std::string& path, std::size_t max_line_bytes)
    : path_(path), file_(path, std::ios::binary), max_line_bytes_(max_line_bytes), block_(kBlockBytes) {
    if (!file_ || std::filesystem::is_directory(path)) {
        throw DataError("cannot read " + path, file_ ? "it is a directory" : std::strerror(errno),
                        "check the path and its permissions");
    }
}

bool LineReader::fill() {
    file_.read(block_.data(), static_cast<std::streamsize>(block_.size()));
    position_ = 0;
    filled_ = static_cast<std::size_t>(file_.gcount());
    if (file_.bad()) {
        throw DataError("cannot read " + path_, std::strerror(errno), "check the file system");
    }
    return filled_ > 0;
}

bool LineReader::next(std::string& line) {
    line.clear();
    is_too_long_ = false;
    bool any = false;
    bool ended = false;
    while (!ended && (position_ < filled_ || fill())) {
        any = true;
        const char* begin = block_.data() + position_;
        const auto* end = static_cast<const char*>(std::memchr(begin, '\n', filled_ - position_));
        const std::size_t bytes = end != nullptr ? static_cast<std::size_t>(end - begin) : filled_ - position_;
        const std::size_t room = max_line_bytes_ - std::min(line.size(), max_line_bytes_);
        is_too_long_ = is_too_long_ || bytes > room;
        line.append(begin, std::min(bytes, room));
        position_ += bytes + (end != nullptr ? 1 : 0);
        ended = end != nullptr;
    }
    if (!any) {
        return false;
    }
    ++line_number_;
    if (!line.empty() && line.back() == '\r') {
        line.pop_back();
    }
    if (line_number_ == 1 && line.starts_with(kByteOrderMark)) {
        line.erase(0, std::strlen(kByteOrderMark));
    }
    return true;
}

}  // namespace ladle
