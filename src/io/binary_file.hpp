// Random access to the bytes of a file with every read checked against its size.
// Internal to src/io; used by the readers of safetensors and torch files.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ladle {

class BinaryFile {
public:
    /// Throws DataError if the file cannot be opened.
    explicit BinaryFile(const std::string& path);
    ~BinaryFile();
    BinaryFile(const BinaryFile&) = delete;
    BinaryFile& operator=(const BinaryFile&) = delete;
    std::size_t size() const { return size_; }
    /// True if `count` bytes from `offset` on lie inside the file.
    bool contains(std::size_t offset, std::size_t count) const { return offset <= size_ && count <= size_ - offset; }
    /// Throws DataError beyond the end; the check comes before any memory is taken.
    std::vector<std::byte> read(std::size_t offset, std::size_t count) const;
    std::string read_text(std::size_t offset, std::size_t count) const;
    /// Throws DataError with the file's name.
    [[noreturn]] void refuse(const std::string& why,
                             const std::string& fix = "write the file again or use another one") const;

private:
    void read_into(void* to, std::size_t offset, std::size_t count) const;

    std::string path_;
    int descriptor_ = -1;
    std::size_t size_ = 0;
};

/// What the first bytes of a file say it is.
enum class FileSignature { hdf5, torch, other };

/// Throws DataError if the file cannot be opened.
FileSignature file_signature(const std::string& path);

}  // namespace ladle
