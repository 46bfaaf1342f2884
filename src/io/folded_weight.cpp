// Conversion and folding while reading.
#include "folded_weight.hpp"

#include <algorithm>

namespace ladle {
namespace {

std::vector<float> piece_of(const StoredTensor& tensor, std::size_t first, std::size_t count) {
    return Tensor{tensor.dtype, {static_cast<std::int64_t>(count)}, tensor.read(first, count)}.to_floats();
}

std::vector<std::byte> bytes_of(const std::vector<float>& values) {
    return Tensor::from_floats({static_cast<std::int64_t>(values.size())}, values.data()).bytes;
}

/// The factors of a low-rank update.
struct Update {
    std::vector<float> down;  ///< [size, in]
    std::vector<float> up;    ///< [out, size]
    double scale = 1;
    std::size_t size = 0;
    std::size_t in = 0;

    /// Row `row` of the update [in].
    std::vector<double> row(std::size_t row) const {
        std::vector<double> sum(in, 0.0);
        for (std::size_t k = 0; k < size; ++k) {
            const double factor = scale * static_cast<double>(up[row * size + k]);
            for (std::size_t j = 0; j < in; ++j) {
                sum[j] += factor * static_cast<double>(down[k * in + j]);
            }
        }
        return sum;
    }
};

}  // namespace

StoredTensor as_float32(const StoredTensor& tensor) {
    if (tensor.dtype == DType::f32) {
        return tensor;
    }
    return {DType::f32, tensor.shape,
            [tensor](std::size_t first, std::size_t count) { return bytes_of(piece_of(tensor, first, count)); }};
}

StoredTensor folded_weight(const StoredTensor& weight, const Tensor& down, const Tensor& up, double scale) {
    const Update update{down.to_floats(), up.to_floats(), scale, static_cast<std::size_t>(down.shape.at(0)),
                        static_cast<std::size_t>(down.shape.at(1))};
    return {DType::f32, weight.shape, [weight, update](std::size_t first, std::size_t count) {
                std::vector<float> values = piece_of(weight, first, count);
                for (std::size_t i = 0; i < count;) {
                    const std::size_t column = (first + i) % update.in;
                    const std::vector<double> row = update.row((first + i) / update.in);
                    const std::size_t end = std::min(count, i + update.in - column);
                    for (std::size_t j = column; i < end; ++i, ++j) {
                        values[i] = static_cast<float>(static_cast<double>(values[i]) + row[j]);
                    }
                }
                return bytes_of(values);
            }};
}

}  // namespace ladle
