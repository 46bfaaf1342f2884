// Values of a GGUF header and dequantisation.
#include "gguf_values.hpp"

#include <array>

#include "ladle/core/float16.hpp"

namespace ladle {
namespace {

using nlohmann::json;

enum ValueType : std::uint32_t {
    kUint8,
    kInt8,
    kUint16,
    kInt16,
    kUint32,
    kInt32,
    kFloat32,
    kBool,
    kString,
    kArray,
    kUint64,
    kInt64,
    kFloat64
};

/// Bytes of the shortest value of each type, in the order of ValueType; an array cannot be an item.
constexpr std::array<std::size_t, 13> kLeastBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 0, 8, 8, 8};

constexpr std::size_t kBlock = 32;

float half_at(const std::byte* bytes) {
    std::uint16_t half = 0;
    std::memcpy(&half, bytes, sizeof(half));
    return from_float16(half);
}

/// Half scale d, 32 signed bytes q: d * q.
void dequantise_q8_0(const std::byte* bytes, float* values) {
    const float scale = half_at(bytes);
    for (std::size_t i = 0; i < kBlock; ++i) {
        values[i] = scale * static_cast<float>(static_cast<std::int8_t>(bytes[2 + i]));
    }
}

/// Half scale d, half minimum m, 16 bytes: d * q + m; low halves of the bytes are numbers 0-15, high halves 16-31.
void dequantise_q4_1(const std::byte* bytes, float* values) {
    const float scale = half_at(bytes);
    const float minimum = half_at(bytes + 2);
    for (std::size_t i = 0; i < kBlock / 2; ++i) {
        const auto pair = std::to_integer<unsigned>(bytes[4 + i]);
        values[i] = scale * static_cast<float>(pair & 0xfU) + minimum;
        values[i + kBlock / 2] = scale * static_cast<float>(pair >> 4U) + minimum;
    }
}

constexpr std::array<GgufType, 5> kTypes = {{{0, "F32", DType::f32, 1, 4, nullptr},
                                             {1, "F16", DType::f16, 1, 2, nullptr},
                                             {3, "Q4_1", DType::f32, kBlock, 20, dequantise_q4_1},
                                             {8, "Q8_0", DType::f32, kBlock, 34, dequantise_q8_0},
                                             {30, "BF16", DType::bf16, 1, 2, nullptr}}};

}  // namespace

std::string_view GgufCursor::take_bytes(std::size_t count) {
    if (count > header_.size() - position_) {
        file_.refuse("its header does not end within " + std::to_string(header_.size()) +
                     " bytes: truncated, or damaged");
    }
    const std::string_view taken = header_.substr(position_, count);
    position_ += count;
    return taken;
}

std::string GgufCursor::take_text() {
    return std::string(take_bytes(take<std::uint64_t>()));
}

std::size_t GgufCursor::take_count(std::size_t bytes_each, const std::string& what) {
    const auto count = take<std::uint64_t>();
    if (count > (header_.size() - position_) / bytes_each) {
        file_.refuse("it claims " + std::to_string(count) + " " + what + ", more than its header has room for");
    }
    return static_cast<std::size_t>(count);
}

json GgufCursor::take_value(const std::string& key) {
    const auto type = take<std::uint32_t>();
    if (type != kArray) {
        return take_single(type, key);
    }
    const auto item_type = take<std::uint32_t>();
    if (item_type >= kLeastBytes.size() || item_type == kArray) {
        file_.refuse("the key " + key + " is a list of values of type " + std::to_string(item_type) +
                     ", which is not read");
    }
    const std::size_t count = take_count(kLeastBytes.at(item_type), "items of " + key);
    json items = json::array();
    for (std::size_t i = 0; i < count; ++i) {
        items.push_back(take_single(item_type, key));
    }
    return items;
}

json GgufCursor::take_single(std::uint32_t type, const std::string& key) {
    switch (type) {
        case kUint8:
            return take<std::uint8_t>();
        case kInt8:
            return take<std::int8_t>();
        case kUint16:
            return take<std::uint16_t>();
        case kInt16:
            return take<std::int16_t>();
        case kUint32:
            return take<std::uint32_t>();
        case kInt32:
            return take<std::int32_t>();
        case kFloat32:
            return take<float>();
        case kBool: {
            const auto value = take<std::uint8_t>();
            if (value > 1) {
                file_.refuse("the key " + key + " holds a boolean that is neither 0 nor 1");
            }
            return value == 1;
        }
        case kString:
            return take_text();
        case kUint64:
            return take<std::uint64_t>();
        case kInt64:
            return take<std::int64_t>();
        case kFloat64:
            return take<double>();
        default:
            file_.refuse("the key " + key + " has the unknown type " + std::to_string(type));
    }
}

const GgufType* find_gguf_type(std::uint32_t number) {
    for (const GgufType& type : kTypes) {
        if (type.number == number) {
            return &type;
        }
    }
    return nullptr;
}

std::string gguf_type_names() {
    std::string names;
    for (const GgufType& type : kTypes) {
        names += (names.empty() ? "" : ", ") + std::string(type.name);
    }
    return names;
}

}  // namespace ladle
