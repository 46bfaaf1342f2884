// SHA-256 (OpenSSL) for files and contents.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace ladle {

/// Incremental SHA-256.
class Digest {
public:
    Digest();
    ~Digest();
    Digest(const Digest&) = delete;
    Digest& operator=(const Digest&) = delete;
    Digest& add(const void* bytes, std::size_t count);
    /// Adds the length (8 bytes, little endian) and then the text, so that neighbouring texts cannot run together.
    Digest& add_text(std::string_view text);
    /// 64 lower-case hexadecimal digits; call once.
    std::string finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// SHA-256 of a file's bytes; throws DataError if it cannot be read.
std::string file_digest(const std::string& path);

}  // namespace ladle
