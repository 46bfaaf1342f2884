// Reader of GGUF files, version 3 (ggml repository, docs/gguf.md).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "ladle/core/tensor.hpp"

namespace ladle {

struct GgufFile {
    /// One object: key -> number, boolean, text, or a list of one kind of these. Texts are the file's bytes and may be
    /// malformed UTF-8.
    nlohmann::json metadata;
    /// Shapes are row-major: the file's dimensions in reverse. F32, F16 and BF16 keep their type; Q8_0 and Q4_1 are
    /// float32 here and are dequantised when they are read.
    StoredTensorMap tensors;
};

/// Opens a file; the numbers stay in it, and it remains open as long as any of the tensors. Strict: names and keys must
/// be unique, the tensors must follow each other without gap or rest but padding to general.alignment, every size is
/// checked before memory is taken. Throws DataError naming file and key or tensor; so for other versions, other tensor
/// types, lists of lists, and more than 32 MiB in front of the data.
GgufFile open_gguf(const std::string& path);

}  // namespace ladle
