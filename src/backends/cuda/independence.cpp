// Probes, and the check of attention; that of products is in products.cpp.
#include "independence.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ladle/core/error.hpp"

namespace ladle::cuda {
namespace {

struct Shape {
    int heads;
    int kv_heads;
    int head_dim;
    bool causal;
};
/// Encoders, and decoders whose heads share keys as SmolLM2's and LLaMA 3's do.
constexpr Shape kShapes[] = {{2, 2, 32, false}, {2, 2, 64, false}, {3, 1, 64, true}, {4, 1, 128, true}};

/// Segments of these lengths, which are a part of longer arrays of probes.
class Probe {
public:
    Probe(DeviceMemory& memory, const std::vector<int>& lengths, const Shape& shape, int first_row)
        : offsets_(memory, lengths.size() + 1) {
        std::vector<int> offsets = {0};
        for (const int length : lengths) {
            offsets.push_back(offsets.back() + length);
        }
        offsets_.copy_in(offsets.data(), offsets.size());
        rows_ = offsets.back();
        const auto part = [&](std::size_t columns, std::uint32_t site) {
            const auto skipped = columns * static_cast<std::size_t>(first_row);
            const auto values = probe_values(skipped + columns * rows(), site);
            DeviceArray<float> array(memory, columns * rows());
            array.copy_in(values.data() + skipped, array.size());
            return array;
        };
        const auto heads = static_cast<std::size_t>(shape.heads);
        const std::size_t width = heads * static_cast<std::size_t>(shape.head_dim);
        const auto kv_width = static_cast<std::size_t>(2 * shape.kv_heads * shape.head_dim);
        arrays_.push_back(part(width, 5));
        arrays_.push_back(part(kv_width, 6));
        arrays_.push_back(part(width, 7));
        for (const std::size_t columns : {width, heads, width, kv_width}) {
            results_.emplace_back(memory, columns * rows());
        }
        call_.segments = static_cast<int>(lengths.size());
        call_.heads = shape.heads;
        call_.kv_heads = shape.kv_heads;
        call_.head_dim = shape.head_dim;
        call_.causal = shape.causal;
        call_.longest_query = call_.longest_key = *std::max_element(lengths.begin(), lengths.end());
        call_.query_offsets = call_.key_offsets = offsets_.data();
        call_.query = arrays_[0].data();
        call_.key_value = arrays_[1].data();
        call_.context = results_[0].data();
        call_.log_sum = results_[1].data();
    }

    /// Everything computed of `count` rows from `first` on.
    std::vector<float> compute(const AttentionProducts& attention, Precision precision, int first, int count) {
        call_.precision = precision;
        attention.forward(call_);
        attention.backward({call_, arrays_[2].data(), results_[2].data(), results_[3].data()});
        std::vector<float> all;
        for (const DeviceArray<float>& result : results_) {
            const std::vector<float> values = result.to_host();
            const auto columns = static_cast<std::ptrdiff_t>(values.size() / rows());
            all.insert(all.end(), values.begin() + first * columns, values.begin() + (first + count) * columns);
        }
        return all;
    }

private:
    std::size_t rows() const { return static_cast<std::size_t>(rows_); }
    int rows_ = 0;
    DeviceArray<int> offsets_;
    std::vector<DeviceArray<float>> arrays_;   ///< query, key_value, dcontext
    std::vector<DeviceArray<float>> results_;  ///< context, log_sum, dquery, dkey_value
    Attention<float> call_;
};

}  // namespace

DeviceArray<float> probe_array(DeviceMemory& memory, std::size_t count, std::uint32_t site) {
    const auto values = probe_values(count, site);
    DeviceArray<float> array(memory, count);
    array.copy_in(values.data(), count);
    return array;
}

void check_segment_independence(const AttentionProducts& attention, Precision precision, DeviceMemory& memory) {
    constexpr int kProbed = 61;
    constexpr int kBefore = 5;
    for (const Shape& shape : kShapes) {
        Probe alone(memory, {kProbed}, shape, kBefore);
        const std::vector<float> expected = alone.compute(attention, precision, 0, kProbed);
        for (const int longest : {17, 200}) {
            Probe together(memory, {kBefore, kProbed, longest}, shape, 0);
            const std::vector<float> found = together.compute(attention, precision, kBefore, kProbed);
            if (std::memcmp(expected.data(), found.data(), expected.size() * sizeof(float)) != 0) {
                throw DeviceError(
                    fmt::format("{} attention with heads of {} depends on a sample's neighbours",
                                precision == Precision::bf16 ? "bf16" : "fp32", shape.head_dim),
                    "cuBLASLt's kernel for this GPU sums in another order when samples are padded further",
                    "set comm.reduction = fast (results then depend on the number of ranks), or use another version "
                    "of CUDA");
            }
        }
    }
}

}  // namespace ladle::cuda
