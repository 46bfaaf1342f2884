// What memory gives to a plain loop.
#pragma once

#include <cstddef>

#include "ladle/backends/kernels.hpp"

namespace ladle {

/// Bytes per second, read and written, of y += x on arrays that together have about `bytes` bytes, at most 1 GiB: the
/// best of a few attempts, per second of this thread's processor time, or of wall time where kernels have memory of
/// their own.
double loop_bandwidth(const Kernels<float>& kernels, double bytes);

}  // namespace ladle
