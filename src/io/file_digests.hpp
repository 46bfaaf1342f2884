// The digests of the files that make up a model, as its weights carry them. Internal to src/io.
#pragma once

#include <string>

#include "ladle/core/digest.hpp"

namespace ladle {

/// Of several files of one directory.
class FileDigests {
public:
    /// Reads the file; throws DataError.
    void add(const std::string& directory, const std::string& file) {
        const std::string bytes = file_digest(directory + "/" + file);
        digest_.add_text(file).add_text(bytes);
        files_ += file + " = " + bytes + "\n";
    }
    /// "<file> = <SHA-256>" for each.
    const std::string& files() const { return files_; }
    /// Over all names and digests; call once.
    std::string finish() { return digest_.finish(); }

private:
    Digest digest_;
    std::string files_;
};

}  // namespace ladle
