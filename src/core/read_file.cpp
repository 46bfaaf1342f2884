// Reading of whole files.
#include "ladle/core/read_file.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "ladle/core/error.hpp"

namespace ladle {

std::string read_file(const std::string& path, std::size_t limit_bytes) {
    const auto fail = [&](const std::string& why) {
        throw DataError("cannot read " + path, why, "check the path and its permissions");
    };
    std::error_code failure;
    const auto bytes = std::filesystem::file_size(path, failure);
    if (failure) {
        fail(failure.message());
    }
    if (bytes > limit_bytes) {
        throw DataError("cannot read " + path,
                        "it has " + std::to_string(bytes) + " bytes, more than the limit of " +
                            std::to_string(limit_bytes) + " for this kind of file",
                        "check that it is the file you meant");
    }
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        fail(std::strerror(errno));
    }
    std::string text(bytes, '\0');
    file.read(text.data(), static_cast<std::streamsize>(bytes));
    if (static_cast<std::uintmax_t>(file.gcount()) != bytes) {
        fail("it ends early");
    }
    return text;
}

}  // namespace ladle
