// Conversions of file tensors.
#include "ladle/core/tensor.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "ladle/core/bfloat16.hpp"
#include "ladle/core/error.hpp"

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

float half_to_float(std::uint16_t half) {
    const std::uint32_t sign = (half & 0x8000U) << 16U;
    const std::uint32_t exponent = (half >> 10U) & 0x1fU;
    const std::uint32_t mantissa = half & 0x3ffU;
    if (exponent == 0x1fU) {
        return std::bit_cast<float>(sign | 0x7f800000U | (mantissa << 13U));
    }
    if (exponent != 0) {
        return std::bit_cast<float>(sign | ((exponent + 112U) << 23U) | (mantissa << 13U));
    }
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
}

template <class T, class Convert>
std::vector<float> convert_all(const Tensor& tensor, Convert convert) {
    std::vector<float> values(tensor.elements());
    for (std::size_t i = 0; i < values.size(); ++i) {
        T raw;
        std::memcpy(&raw, tensor.bytes.data() + i * sizeof(T), sizeof(T));
        values[i] = convert(raw);
    }
    return values;
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
    switch (dtype) {
        case DType::f32:
            return convert_all<float>(*this, [](float v) { return v; });
        case DType::f64:
            return convert_all<double>(*this, [](double v) { return static_cast<float>(v); });
        case DType::bf16:
            return convert_all<std::uint16_t>(*this, from_bfloat16);
        case DType::f16:
            return convert_all<std::uint16_t>(*this, half_to_float);
        default:
            throw DataError("cannot read a tensor of type " + dtype_name(dtype) + " as real numbers",
                            "only float32, float16, bfloat16 and float64 hold weights", "convert the file first");
    }
}

Tensor Tensor::from_floats(Shape shape, const float* values) {
    return copy_in(DType::f32, std::move(shape), values);
}

Tensor Tensor::from_int64(Shape shape, const std::int64_t* values) {
    return copy_in(DType::i64, std::move(shape), values);
}

}  // namespace ladle
