// Conversions of file tensors.
#include "ladle/core/tensor.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>

#include "ladle/core/bfloat16.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/float16.hpp"

namespace ladle {
namespace {

struct DTypeRow {
    DType dtype;
    std::size_t bytes;
    const char* name;
};
constexpr std::array<DTypeRow, 9> kDTypes = {{
    {DType::f32, 4, "float32"},
    {DType::f16, 2, "float16"},
    {DType::bf16, 2, "bfloat16"},
    {DType::f64, 8, "float64"},
    {DType::i64, 8, "int64"},
    {DType::i32, 4, "int32"},
    {DType::u16, 2, "uint16"},
    {DType::u8, 1, "uint8"},
    {DType::boolean, 1, "bool"},
}};

const DTypeRow& row_of(DType dtype) {
    return kDTypes.at(static_cast<std::size_t>(dtype));
}

// Elements converted at once when a stored tensor is read.
constexpr std::size_t kPiece = std::size_t{1} << 20U;

template <class T, class Convert>
void convert_all(const std::byte* bytes, std::size_t count, float* values, Convert convert) {
    for (std::size_t i = 0; i < count; ++i) {
        T raw;
        std::memcpy(&raw, bytes + i * sizeof(T), sizeof(T));
        values[i] = convert(raw);
    }
}

void convert_to_floats(DType dtype, const std::byte* bytes, std::size_t count, float* values) {
    switch (dtype) {
        case DType::f32:
            return convert_all<float>(bytes, count, values, [](float v) { return v; });
        case DType::f64:
            return convert_all<double>(bytes, count, values, [](double v) { return static_cast<float>(v); });
        case DType::bf16:
            return convert_all<std::uint16_t>(bytes, count, values, from_bfloat16);
        case DType::f16:
            return convert_all<std::uint16_t>(bytes, count, values, from_float16);
        default:
            throw DataError("cannot read a tensor of type " + dtype_name(dtype) + " as real numbers",
                            "only float32, float16, bfloat16 and float64 hold weights", "convert the file first");
    }
}

template <class T>
Tensor copy_in(DType dtype, Shape shape, const T* values) {
    Tensor tensor{dtype, std::move(shape), {}};
    tensor.bytes.resize(tensor.elements() * sizeof(T));
    if (!tensor.bytes.empty()) {
        std::memcpy(tensor.bytes.data(), values, tensor.bytes.size());
    }
    return tensor;
}

}  // namespace

std::size_t dtype_bytes(DType dtype) {
    return row_of(dtype).bytes;
}

std::string dtype_name(DType dtype) {
    return row_of(dtype).name;
}

std::string shape_text(const Shape& shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    }
    return text + "]";
}

std::size_t shape_elements(const Shape& shape) {
    std::size_t count = 1;
    for (const std::int64_t extent : shape) {
        if (extent < 0) {
            throw DataError("bad tensor shape " + shape_text(shape), "an extent is negative", "rewrite the file");
        }
        const auto n = static_cast<std::size_t>(extent);
        if (n != 0 && count > std::numeric_limits<std::size_t>::max() / 16 / n) {
            throw DataError("bad tensor shape " + shape_text(shape), "too many elements", "rewrite the file");
        }
        count *= n;
    }
    return count;
}

std::vector<float> Tensor::to_floats() const {
    std::vector<float> values(elements());
    convert_to_floats(dtype, bytes.data(), values.size(), values.data());
    return values;
}

Tensor Tensor::from_floats(Shape shape, const float* values) {
    return copy_in(DType::f32, std::move(shape), values);
}

Tensor Tensor::from_int64(Shape shape, const std::int64_t* values) {
    return copy_in(DType::i64, std::move(shape), values);
}

Tensor StoredTensor::load() const {
    return {dtype, shape, read(0, elements())};
}

void StoredTensor::read_floats(float* values) const {
    const std::size_t count = elements();
    for (std::size_t first = 0; first < count; first += kPiece) {
        const std::size_t taken = std::min(kPiece, count - first);
        convert_to_floats(dtype, read(first, taken).data(), taken, values + first);
    }
}

StoredTensor stored_tensor(Tensor tensor) {
    const DType dtype = tensor.dtype;
    Shape shape = tensor.shape;
    // Copies of the function share the bytes.
    const auto bytes = std::make_shared<const std::vector<std::byte>>(std::move(tensor.bytes));
    return {dtype, std::move(shape), [bytes, element = dtype_bytes(dtype)](std::size_t first, std::size_t count) {
                const auto begin = bytes->begin() + static_cast<std::ptrdiff_t>(first * element);
                return std::vector<std::byte>(begin, begin + static_cast<std::ptrdiff_t>(count * element));
            }};
}

TensorMap load_tensors(const StoredTensorMap& tensors) {
    TensorMap loaded;
    for (const auto& [name, tensor] : tensors) {
        loaded.emplace(name, tensor.load());
    }
    return loaded;
}

}  // namespace ladle
