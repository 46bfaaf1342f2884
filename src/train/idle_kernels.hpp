// Kernels that compute nothing: what remains of a step is the memory it takes.
#pragma once

#include <memory>

#include "ladle/backends/kernels.hpp"
#include "ladle/config/config.hpp"

namespace ladle {

/// For a walk through a step beside a model on real kernels, whose matrices it uses; `on_host`: whether the memory of
/// these is the process's. What is allocated in their own memory is address space until it is written, and is never
/// set to zero. Where experts choose their rows, each gets as many as it can.
std::unique_ptr<Kernels<float>> make_idle_kernels(bool on_host);

/// The same for a model of shapes alone: matrices take from their store what those of train.device would. No GPU is
/// needed for a GPU's. Throws DeviceError if the processor does not suffice.
std::unique_ptr<Kernels<float>> make_shape_kernels(const Config& config);

}  // namespace ladle
