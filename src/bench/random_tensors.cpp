// Tensors of random numbers.
#include "random_tensors.hpp"

#include "ladle/bench/measure.hpp"

namespace ladle {
namespace {

constexpr float kWeightRange = 0.0346F;  // a uniform number of this range has standard deviation 0.02

}  // namespace

void RandomTensors::add(const std::string& name, const Shape& shape, float center) {
    const auto read = [seed = seed_, number = number_++, center](std::size_t first, std::size_t count) {
        std::vector<float> values = random_values(count, seed, number, kWeightRange, first);
        for (float& value : values) {
            value += center;
        }
        const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
        return std::vector<std::byte>(bytes, bytes + count * sizeof(float));
    };
    tensors_.emplace(name, StoredTensor{DType::f32, shape, read});
}

}  // namespace ladle
