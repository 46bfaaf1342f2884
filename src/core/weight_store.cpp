// Stores of frozen weights that need no communication.
#include "ladle/core/weight_store.hpp"

namespace ladle {
namespace {

constexpr std::size_t kAlignment = 64;

}  // namespace

std::size_t stored_bytes(std::size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::shared_ptr<void> PlannedWeights::take(std::size_t bytes) {
    bytes_ += stored_bytes(bytes);
    return nullptr;
}

}  // namespace ladle
