// The table behind "share of peak" of a GPU.
#include "ladle/backends/gpu_peak.hpp"

namespace ladle {
namespace {

struct Generation {
    int major;
    int minor;
    double bf16;
    double fp32;
};
constexpr Generation kGenerations[] = {{8, 0, 2048, 128}, {9, 0, 4096, 256}};

}  // namespace

double gpu_flop_per_clock(int major, int minor, Precision precision) {
    for (const Generation& generation : kGenerations) {
        if (generation.major == major && generation.minor == minor) {
            return precision == Precision::bf16 ? generation.bf16 : generation.fp32;
        }
    }
    return 0;
}

}  // namespace ladle
