// Multiply-adds that stay in registers: the most that this instruction set can do here, to set products against.
#include "loops.hpp"
#include "simd.hpp"
#include "tile_product.hpp"

namespace ladle::cpu::LADLE_ISA {
namespace {

// Independent chains: two pipes of latency 6 need 12, and with both factors they fit into 16 registers.
constexpr int kChains = 14;

/// The compiler must take the vector as read and changed.
LADLE_INLINE void keep(Floats& v) {
#if defined(__AVX512F__)
    asm volatile("" : "+v"(v));
#elif defined(__x86_64__)
    asm volatile("" : "+x"(v));
#else
    asm volatile("" : : "g"(&v) : "memory");
#endif
}

template <class MultiplyAdd>
LADLE_INLINE void run_chains(std::int64_t rounds, MultiplyAdd multiply_add) {
    Floats a{};
    Floats b{};
    keep(a);
    keep(b);
    // Chains that start alike and go on alike are one to the compiler.
    Floats chains[kChains] = {};
    for (Floats& chain : chains) {
        keep(chain);
    }
    for (std::int64_t round = 0; round < rounds; ++round) {
        for (Floats& chain : chains) {
            chain = multiply_add(a, b, chain);
        }
    }
    for (Floats& chain : chains) {
        keep(chain);
    }
}

}  // namespace

double fp32_peak_loop(std::int64_t rounds) {
    run_chains(
        // The product is of the chain: one of a and b would be the same in every round.
        rounds, [](Floats a, Floats b, Floats chain) __attribute__((always_inline)) { return fmadd(chain, a, b); });
    return 2.0 * kLanes * kChains * static_cast<double>(rounds);
}

double bf16_peak_loop(std::int64_t rounds) {
#if defined(__AMX_BF16__)
    // Four chains of tiles: an instruction takes as long as its sixteen rows, and four cover its latency.
    const TileUnit tiles(true);
    zero_sums();
    for (std::int64_t round = 0; round < rounds; round += 4) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    return kTileFlop * static_cast<double>(rounds);
#elif defined(__AVX512BF16__)
    run_chains(
        rounds, [](Floats a, Floats b, Floats c) __attribute__((always_inline)) {
            return reinterpret_cast<Floats>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(c), reinterpret_cast<__m512bh>(a),
                                                             reinterpret_cast<__m512bh>(b)));
        });
    return 4.0 * kLanes * kChains * static_cast<double>(rounds);
#else
    return 0.0 * static_cast<double>(rounds);
#endif
}

}  // namespace ladle::cpu::LADLE_ISA
