// Which kernels a configuration asks for, on this rank. Used by train/engine.
#pragma once

#include <memory>

#include "ladle/backends/kernels.hpp"
#include "ladle/comm/communicator.hpp"
#include "ladle/config/config.hpp"

namespace ladle {

Precision precision_of(const Config& config);

/// All ranks together. Throws DeviceError if the processor or the GPUs of a node do not suffice, on all ranks.
std::unique_ptr<Kernels<float>> make_kernels(const Config& config, Communicator& comm);

}  // namespace ladle
