// A named tensor as files hold it: used by every reader and writer, never on the path of a training step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace ladle {

enum class DType { f32, f16, bf16, f64, i64, i32, u16, u8, boolean };

std::size_t dtype_bytes(DType dtype);
/// "float32", "bfloat16", ...
std::string dtype_name(DType dtype);

using Shape = std::vector<std::int64_t>;

/// "[4, 16, 384]"
std::string shape_text(const Shape& shape);
/// Number of elements; throws DataError when an extent is negative or the product overflows.
std::size_t shape_elements(const Shape& shape);

/// Owns its bytes, row-major, little endian.
struct Tensor {
    DType dtype = DType::f32;
    Shape shape;
    std::vector<std::byte> bytes;

    std::size_t elements() const { return shape_elements(shape); }
    /// Copies to float; accepts f32, f16 and bf16 (exact) and f64 (rounded). Throws DataError for other types.
    std::vector<float> to_floats() const;
    static Tensor from_floats(Shape shape, const float* values);
    static Tensor from_int64(Shape shape, const std::int64_t* values);
};

/// Tensors by name, in name order.
using TensorMap = std::map<std::string, Tensor>;

/// A tensor that stays in its file until its numbers are wanted, so that a model is never in memory as a whole.
struct StoredTensor {
    DType dtype = DType::f32;
    Shape shape;
    /// The bytes of elements first .. first + count - 1, row-major. Throws DataError if the file cannot be read.
    std::function<std::vector<std::byte>(std::size_t first, std::size_t count)> read;

    std::size_t elements() const { return shape_elements(shape); }
    /// The whole tensor.
    Tensor load() const;
    /// Converts to floats [elements], a piece at a time; the types are those of Tensor::to_floats.
    void read_floats(float* values) const;
};

using StoredTensorMap = std::map<std::string, StoredTensor>;

/// A tensor in memory behind the same interface.
StoredTensor stored_tensor(Tensor tensor);

/// All of them in memory.
TensorMap load_tensors(const StoredTensorMap& tensors);

/// Tensors by name, in the order of a file.
using TensorList = std::vector<std::pair<std::string, Tensor>>;

}  // namespace ladle
