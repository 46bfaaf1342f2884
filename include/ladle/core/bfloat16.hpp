// bfloat16 as used everywhere in the program: the upper half of a float, rounded to nearest even.
#pragma once

#include <bit>
#include <cstdint>

namespace ladle {

/// Nearest bfloat16 to a float, ties to even; a NaN stays a NaN.
inline std::uint16_t to_bfloat16(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & 0x7fffffffU) > 0x7f800000U) {
        return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);
    }
    return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}

inline float from_bfloat16(std::uint16_t value) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16U);
}

}  // namespace ladle
