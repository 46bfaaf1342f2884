// Numbers and texts of a GGUF header, and what quantised blocks hold. Internal to src/io.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "binary_file.hpp"
#include "ladle/core/tensor.hpp"

namespace ladle {

/// Takes the parts of a header one after the other; refuses to go beyond its end.
class GgufCursor {
public:
    /// `header` starts at the file's first byte.
    GgufCursor(std::string_view header, const BinaryFile& file) : header_(header), file_(file) {}

    std::size_t position() const { return position_; }
    template <class T>
    T take() {
        T value{};
        std::memcpy(&value, take_bytes(sizeof(T)).data(), sizeof(T));
        return value;
    }
    /// A length and that many bytes.
    std::string take_text();
    /// A value of the metadata: its type, then the value. `key` names it in errors.
    nlohmann::json take_value(const std::string& key);
    /// A number of things of at least `bytes_each` bytes that are still to come.
    std::size_t take_count(std::size_t bytes_each, const std::string& what);

private:
    std::string_view take_bytes(std::size_t count);
    nlohmann::json take_single(std::uint32_t type, const std::string& key);

    std::string_view header_;
    const BinaryFile& file_;
    std::size_t position_ = 0;
};

/// How a tensor type lays out its numbers. Source: ggml repository, ggml-common.h and ggml-quants.c.
struct GgufType {
    std::uint32_t number;
    const char* name;
    DType dtype;              ///< as read
    std::size_t block;        ///< numbers in one block
    std::size_t block_bytes;  ///< its size in the file
    /// Writes the `block` numbers of one block; null: they are stored as `dtype`.
    void (*dequantise)(const std::byte* bytes, float* values);
};

/// Null for a type that is not read.
const GgufType* find_gguf_type(std::uint32_t number);

/// Names of all types that are read.
std::string gguf_type_names();

}  // namespace ladle
