// Reads with pread, so that a big file is never mapped or held twice.
#include "binary_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ladle/core/error.hpp"

namespace ladle {

BinaryFile::BinaryFile(const std::string& path) : path_(path) {
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) {
        refuse(std::strerror(errno), "check the path and its permissions");
    }
    if (!S_ISREG(status.st_mode)) {
        ::close(descriptor_);
        refuse("it is not a regular file", "name a file");
    }
    size_ = static_cast<std::size_t>(status.st_size);
}

BinaryFile::~BinaryFile() {
    ::close(descriptor_);
}

void BinaryFile::refuse(const std::string& why, const std::string& fix) const {
    throw DataError("cannot read " + path_, why, fix);
}

std::vector<std::byte> BinaryFile::read(std::size_t offset, std::size_t count) const {
    if (!contains(offset, count)) {
        refuse("it ends before byte " + std::to_string(offset) + " + " + std::to_string(count));
    }
    std::vector<std::byte> bytes(count);
    read_into(bytes.data(), offset, count);
    return bytes;
}

std::string BinaryFile::read_text(std::size_t offset, std::size_t count) const {
    if (!contains(offset, count)) {
        refuse("it ends before byte " + std::to_string(offset) + " + " + std::to_string(count));
    }
    std::string text(count, '\0');
    read_into(text.data(), offset, count);
    return text;
}

void BinaryFile::read_into(void* to, std::size_t offset, std::size_t count) const {
    auto* position = static_cast<char*>(to);
    while (count > 0) {
        const ssize_t taken = ::pread(descriptor_, position, count, static_cast<off_t>(offset));
        if (taken < 0 && errno == EINTR) {
            continue;
        }
        if (taken <= 0) {
            refuse(taken < 0 ? std::strerror(errno) : "it became shorter while being read");
        }
        position += taken;
        offset += static_cast<std::size_t>(taken);
        count -= static_cast<std::size_t>(taken);
    }
}

FileSignature file_signature(const std::string& path) {
    const BinaryFile file(path);
    const std::string start = file.read_text(0, std::min<std::size_t>(8, file.size()));
    if (start.starts_with("\x89HDF")) {
        return FileSignature::hdf5;
    }
    // A safetensors file starts with a length below 100 MB; torch < 1.6 starts with 80 02 and has bytes other than zero
    // where such a length has none.
    const bool old_torch = start.starts_with("\x80\x02") && start.size() == 8 && start[7] != '\0';
    return start.starts_with("PK\x03\x04") || old_torch ? FileSignature::torch : FileSignature::other;
}

}  // namespace ladle
