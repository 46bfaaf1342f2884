// Averaging outputs of experts where they are products of two matrices: the mean of B_k A_k is one product of wider
// ones. Source: AdaMix repository's LoRA mixture has the mean of A_k and of B_k instead; PEFT calls this one "cat".
#include <limits>

#include "ladle/adapters/adapter.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/soup.hpp"

namespace ladle {
namespace {

/// Rows of all experts' A below each other: [E * r, in].
Tensor stack_rows(const Soup& soup, const Bank& bank) {
    Tensor stacked{DType::f32, {bank.experts * bank.out_features, bank.in_features}, {}};
    for (int k = 0; k < bank.experts; ++k) {
        const auto& bytes = soup.tensor(bank.tensor_name(k, "weight")).bytes;
        stacked.bytes.insert(stacked.bytes.end(), bytes.begin(), bytes.end());
    }
    return stacked;
}

/// Columns of all experts' B side by side: [out, E * r].
Tensor stack_columns(const Soup& soup, const Bank& bank) {
    Tensor stacked{DType::f32, {bank.out_features, bank.experts * bank.in_features}, {}};
    const std::size_t row = static_cast<std::size_t>(bank.in_features) * sizeof(float);
    for (std::size_t out = 0; out < static_cast<std::size_t>(bank.out_features); ++out) {
        for (int k = 0; k < bank.experts; ++k) {
            const auto begin =
                soup.tensor(bank.tensor_name(k, "weight")).bytes.begin() + static_cast<std::ptrdiff_t>(out * row);
            stacked.bytes.insert(stacked.bytes.end(), begin, begin + static_cast<std::ptrdiff_t>(row));
        }
    }
    return stacked;
}

[[noreturn]] void refuse(const std::string& why, const std::string& fix) {
    throw ConfigError("cannot average the outputs of this soup's experts", why, fix);
}

void check_stackable(const Soup& soup) {
    if (adapter_kind(soup.adapter_kind).site != AdapterSite::on_projections) {
        refuse("experts of kind " + soup.adapter_kind + " are not linear: the mean of their outputs is no single one",
               "use --method uniform, which averages weights");
    }
    if (soup.merged || soup.num_experts == 1) {
        refuse("its experts are merged, or there is only one", "take the best.h5 of a run with a mixture");
    }
    if (soup.share_down || soup.share_up) {
        refuse("one of its matrices is shared, so that the mean of the outputs is that of the weights",
               "use --method uniform");
    }
}

}  // namespace

Soup average_outputs(const Soup& soup) {
    check_stackable(soup);
    Soup result = merge_experts(soup);
    result.method = "outputs";
    // Nobody has measured the average yet.
    result.score = std::numeric_limits<double>::quiet_NaN();
    result.metric.clear();
    // alpha / size is then the old factor times the weight 1 / E of each expert.
    result.adapter_size = soup.num_experts * soup.adapter_size;
    for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
        for (const Bank& bank : soup_banks(soup, layer)) {
            const std::string name = merged_bank(bank).tensor_name(0, "weight");
            for (auto& [key, tensor] : result.tensors) {
                if (key == name) {
                    tensor = bank.name.ends_with("_b") ? stack_columns(soup, bank) : stack_rows(soup, bank);
                }
            }
        }
    }
    return result;
}

}  // namespace ladle
