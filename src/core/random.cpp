// Philox4x32-10 streams; see the header for the counter layout.
#include "ladle/core/random.hpp"

#include <Random123/philox.h>

#include <cmath>
#include <numbers>

#include "ladle/core/check.hpp"

namespace ladle {

std::uint32_t Stream::packed_use() const {
    check(pass < 4 && layer < 1024 && site < 4096, "pass, layer and site fit the fields of the counter");
    return (static_cast<std::uint32_t>(purpose) << 24U) | (pass << 22U) | (layer << 12U) | site;
}

std::array<std::uint32_t, 4> random_block(const Stream& stream, std::uint32_t block) {
    const r123::Philox4x32::ctr_type counter = {{stream.batch, stream.row, stream.packed_use(), block}};
    const r123::Philox4x32::key_type key = {
        {static_cast<std::uint32_t>(stream.seed), static_cast<std::uint32_t>(stream.seed >> 32U)}};
    const auto words = r123::Philox4x32{}(counter, key);
    return {words[0], words[1], words[2], words[3]};
}

std::uint32_t random_word(const Stream& stream, std::uint32_t index) {
    return random_block(stream, index / 4)[index % 4];
}

double random_normal(const Stream& stream, std::uint32_t index) {
    const auto words = random_block(stream, index / 4);
    const std::uint32_t pair = (index % 4) / 2;
    constexpr double kScale = 1.0 / 4294967296.0;
    // The half keeps the argument of the logarithm above zero.
    const double u = (words[2 * pair] + 0.5) * kScale;
    const double angle = 2.0 * std::numbers::pi * (words[2 * pair + 1] * kScale);
    const double radius = std::sqrt(-2.0 * std::log(u));
    return radius * (index % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

std::uint32_t dropout_threshold(double probability) {
    check(probability >= 0.0 && probability < 1.0, "a dropout probability is in [0, 1)");
    return static_cast<std::uint32_t>(std::llround(probability * 4294967296.0));
}

}  // namespace ladle
