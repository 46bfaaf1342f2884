// What is in a file: kind, digest, provenance and tensors of anything that ladle reads or writes.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ladle/core/tensor.hpp"

namespace ladle {

/// Rows of text under titles, one cell per title.
struct ReportTable {
    struct Column {
        std::string title;
        bool is_number = false;
    };
    std::vector<Column> columns;
    std::vector<std::vector<std::string>> rows;
};

struct FileReport {
    std::string kind;                                        ///< e.g. "ladle.soup 1.1", "safetensors"
    std::string digest;                                      ///< "content_sha256 ..." or "sha256 ..."
    std::vector<std::pair<std::string, std::string>> facts;  ///< attributes and metadata, in the order of the file
    TensorMap tensors;
    std::map<std::string, std::vector<std::string>> texts;  ///< data sets of strings
    std::vector<ReportTable> tables;                        ///< summaries of what is neither fact nor tensor
};

/// Reads an HDF5 file (ladle's are verified), a safetensors or torch file, an adapters directory (one, or of experts),
/// a Hugging Face model directory, a JSON or JSON lines file or TensorBoard events. Throws DataError.
FileReport inspect_path(const std::string& path);

/// The facts as lines "name = value", safe to show on a terminal; texts of several lines stand indented below their
/// name.
std::string facts_text(const FileReport& report);

/// The first 16 digits of the SHA-256 of a tensor's bytes.
std::string short_digest(const Tensor& tensor);

/// One line per fact, line of an identity, tensor or list of texts that is not the same in both, facts first; empty if
/// nothing differs. For a tensor the line names the first element that differs. Facts that name the digest of a file's
/// own contents are left out.
std::vector<std::string> differences(const FileReport& a, const FileReport& b);

}  // namespace ladle
