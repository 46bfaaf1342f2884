// Averaging: of the experts of one soup, and of several soups.
#include "ladle/io/soup.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "export_parts.hpp"
#include "ladle/adapters/adapter.hpp"
#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

std::vector<double> checked_weights(std::vector<double> weights, std::size_t count, const std::string& what) {
    if (weights.empty()) {
        weights.assign(count, 1.0 / static_cast<double>(count));
    }
    if (weights.size() != count) {
        throw ConfigError(fmt::format("cannot average {} with {} weights", what, weights.size()),
                          fmt::format("there are {}", count), "give one weight for each");
    }
    return weights;
}

/// Sum of scale * tensor in order; a single tensor of weight 1 keeps its bits.
Tensor weighted_sum(const std::vector<const Tensor*>& tensors, const std::vector<double>& weights) {
    std::vector<float> sum(tensors.front()->elements(), 0.0F);
    for (std::size_t k = 0; k < tensors.size(); ++k) {
        const std::vector<float> values = tensors[k]->to_floats();
        const auto scale = static_cast<float>(weights[k]);
        for (std::size_t i = 0; i < sum.size(); ++i) {
            // -0 is kept: adding to +0 would lose its sign.
            sum[i] = k == 0 ? scale * values[i] : sum[i] + scale * values[i];
        }
    }
    return Tensor::from_floats(tensors.front()->shape, sum.data());
}

/// Adds the merged tensors of a bank to `merged` and the names of all its experts' tensors to `done`.
void merge_bank(const Soup& soup, const std::vector<double>& weights, const Bank& bank, Soup& merged,
                std::set<std::string>& done) {
    for (const std::string& part : bank.parts()) {
        std::vector<const Tensor*> tensors;
        for (int k = 0; k < bank.experts; ++k) {
            const std::string name = bank.tensor_name(k, part);
            tensors.push_back(&soup.tensor(name));
            done.insert(name);
        }
        const std::vector<double> shares = bank.experts == 1 ? std::vector<double>{1.0} : weights;
        merged.tensors.emplace_back(merged_bank(bank).tensor_name(0, part), weighted_sum(tensors, shares));
    }
}

bool same_description(const Soup& a, const Soup& b) {
    return a.architecture == b.architecture && a.hidden_size == b.hidden_size && a.num_layers == b.num_layers &&
           a.adapter_kind == b.adapter_kind && a.adapter_size == b.adapter_size && a.num_experts == b.num_experts &&
           a.lora_targets == b.lora_targets && a.lora_alpha == b.lora_alpha && a.factor_size == b.factor_size &&
           a.factor_order == b.factor_order && a.factor_experts == b.factor_experts && a.share_down == b.share_down &&
           a.share_up == b.share_up && a.merged == b.merged && a.task == b.task && a.label_names == b.label_names &&
           a.backbone_digest == b.backbone_digest;
}

/// Throws DataError naming a tensor of `a` that `b` does not have in the same shape.
void check_holds(const Soup& a, const Soup& b) {
    for (const auto& [name, tensor] : a.tensors) {
        if (b.tensor(name).shape != tensor.shape) {
            throw DataError("cannot average these soups",
                            fmt::format("tensor {} is {} in one and {} in another", name, shape_text(tensor.shape),
                                        shape_text(b.tensor(name).shape)),
                            "average soups of the same model and task");
        }
    }
}

/// Clears what does not hold for all inputs of an average.
template <class Value>
void keep_if_common(Soup& average, const std::vector<Soup>& soups, Value Soup::*field) {
    const bool common =
        std::all_of(soups.begin(), soups.end(), [&](const Soup& soup) { return soup.*field == average.*field; });
    if (!common) {
        average.*field = Value();
    }
}

}  // namespace

const Tensor& Soup::tensor(const std::string& name) const {
    for (const auto& [key, value] : tensors) {
        if (key == name) {
            return value;
        }
    }
    throw DataError("the soup has no tensor " + name, "its description asks for it", "use the soup that ladle wrote");
}

std::int64_t num_outputs(const Soup& soup) {
    return soup.regression ? 1 : static_cast<std::int64_t>(soup.label_names.size());
}

void set_unknown_labels(Soup& soup, std::int64_t outputs) {
    soup.regression = outputs == 1;
    soup.label_names.clear();
    for (std::int64_t i = 0; i < outputs && outputs > 1; ++i) {
        soup.label_names.push_back(fmt::format("LABEL_{}", i));
    }
}

bool has_unknown_labels(const Soup& soup) {
    Soup unknown;
    set_unknown_labels(unknown, num_outputs(soup));
    return !soup.regression && soup.label_names == unknown.label_names;
}

bool has_banks(const Soup& soup) {
    return soup.adapter_size > 0;
}

AdapterOptions adapter_options(const Soup& soup) {
    AdapterOptions options;
    options.kind = soup.adapter_kind;
    options.size = static_cast<int>(soup.adapter_size);
    options.num_experts = static_cast<int>(soup.num_experts);
    options.share_down = soup.share_down;
    options.share_up = soup.share_up;
    options.activation = soup.activation;
    if (adapter_kind(soup.adapter_kind).has_factors) {
        options.factor = static_cast<int>(soup.factor_size);
        options.factor_order = soup.factor_order;
        options.factor_experts = soup.factor_experts;
    }
    options.targets = fmt::format("{}", fmt::join(soup.lora_targets, ","));
    options.alpha = soup.lora_alpha;
    return options;
}

void set_adapter(Soup& soup, const AdapterOptions& options) {
    const AdapterOptions used = settled(options);
    const AdapterKind& kind = adapter_kind(used.kind);
    soup.adapter_kind = used.kind;
    soup.adapter_size = kind.site == AdapterSite::none ? 0 : used.size;
    soup.num_experts = used.num_experts;
    soup.share_down = used.share_down;
    soup.share_up = used.share_up;
    soup.activation = used.activation;
    if (kind.has_factors) {
        soup.factor_size = used.factor;
        soup.factor_order = used.factor_order;
        soup.factor_experts = kind.mixture ? used.factor_experts : "none";
    }
    soup.lora_targets.clear();
    if (kind.site == AdapterSite::on_projections) {
        soup.lora_alpha = used.alpha;
        for (const Projection projection : parse_targets(used.targets)) {
            soup.lora_targets.push_back(projection_names()[static_cast<std::size_t>(projection)]);
        }
    }
}

bool is_since_1_1(const std::string& field) {
    return field == "intermediate_size" || field.starts_with("lora_") || field.starts_with("factor_");
}

void check_description(const Soup& soup, const std::string& label) {
    const auto refuse = [&](const std::string& why) {
        throw DataError("cannot read " + label, why, "use a soup of a kind that ladle has, or a newer ladle");
    };
    const auto one_of = [](const std::string& word, const std::vector<std::string>& words) {
        return std::find(words.begin(), words.end(), word) != words.end();
    };
    // They become ints below, and one divides another.
    constexpr std::int64_t kMost = 1 << 20;
    const std::pair<const char*, std::int64_t> sizes[] = {{"hidden_size", soup.hidden_size},
                                                          {"intermediate_size", soup.intermediate_size},
                                                          {"adapter_size", soup.adapter_size},
                                                          {"num_experts", soup.num_experts},
                                                          {"factor_size", soup.factor_size}};
    for (const auto& [name, size] : sizes) {
        if (size < 0 || size > kMost) {
            refuse(fmt::format("its {} is {}", name, size));
        }
    }
    if (soup.num_layers < 1 || soup.num_layers > 1024 || soup.hidden_size < 1 || soup.num_experts < 1) {
        refuse(fmt::format("{} layers of width {} with {} experts are not possible", soup.num_layers, soup.hidden_size,
                           soup.num_experts));
    }
    if ((soup.architecture != "bert" && soup.architecture != "roberta") || soup.activation != "gelu") {
        refuse(fmt::format("its architecture is {} and its activation {}, ladle has bert and roberta with gelu",
                           soup.architecture, soup.activation));
    }
    try {
        const AdapterKind& kind = adapter_kind(soup.adapter_kind);
        if ((soup.adapter_size == 0) != (kind.site == AdapterSite::none) || (!kind.mixture && soup.num_experts != 1)) {
            refuse(fmt::format("an adapter of kind {} has no size {} and {} experts", kind.name, soup.adapter_size,
                               soup.num_experts));
        }
        if (kind.has_factors && (soup.factor_size < 1 || soup.factor_size > soup.adapter_size ||
                                 !one_of(soup.factor_order, {"small_outer", "large_outer"}) ||
                                 !one_of(soup.factor_experts, {"none", "small", "large", "both"}))) {
            refuse("the description of its factors is not possible");
        }
        for (const Bank& bank : has_banks(soup) ? soup_banks(soup, 0) : std::vector<Bank>()) {
            if (bank.in_features < 1 || bank.out_features < 1) {
                refuse("its adapter sits in the feed-forward part, whose width is missing");
            }
        }
        if (kind.site == AdapterSite::on_projections && !(std::isfinite(soup.lora_alpha) && soup.lora_alpha > 0)) {
            refuse(fmt::format("its lora_alpha is {}", soup.lora_alpha));
        }
        Soup settled_soup;
        set_adapter(settled_soup, adapter_options(soup));
        if (settled_soup.lora_targets != soup.lora_targets) {
            refuse(fmt::format("its lora_targets are {}", fmt::join(soup.lora_targets, "; ")));
        }
    } catch (const ConfigError& error) {
        refuse(error.what());
    }
}

std::vector<Bank> soup_banks(const Soup& soup, std::int64_t layer) {
    std::vector<Bank> banks = block_banks(
        adapter_options(soup), block_shape(soup.architecture, layer, soup.hidden_size, soup.intermediate_size));
    if (soup.merged) {
        std::transform(banks.begin(), banks.end(), banks.begin(), merged_bank);
    }
    return banks;
}

std::string tensor_digest(const Soup& soup) {
    return tensor_digest(soup.tensors);
}

std::string tensor_digest(const TensorList& tensors) {
    std::vector<const std::pair<std::string, Tensor>*> sorted;
    for (const auto& entry : tensors) {
        sorted.push_back(&entry);
    }
    std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
    Digest digest;
    for (const auto* entry : sorted) {
        digest.add_text(entry->first).add_text(shape_text(entry->second.shape));
        digest.add(entry->second.bytes.data(), entry->second.bytes.size());
    }
    return digest.finish();
}

Soup merge_experts(const Soup& soup, std::vector<double> weights) {
    if (soup.merged) {
        throw ConfigError("cannot merge the experts of this soup", "it is merged already", "use it as it is");
    }
    if (!has_banks(soup)) {
        if (!weights.empty()) {
            throw ConfigError("cannot merge the experts of this soup",
                              "its adapter kind " + soup.adapter_kind + " has no experts", "leave the weights out");
        }
        return soup;
    }
    Soup merged = soup;
    merged.method = weights.empty() ? "uniform" : "weighted";
    weights = checked_weights(std::move(weights), static_cast<std::size_t>(soup.num_experts), "the experts");
    merged.merged = true;
    merged.weights = weights;
    merged.digest.clear();
    merged.tensors.clear();
    if (!soup.digest.empty()) {
        merged.sources = {soup.digest};
    }
    std::set<std::string> done;
    for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
        for (const Bank& bank : soup_banks(soup, layer)) {
            merge_bank(soup, weights, bank, merged, done);
        }
    }
    std::copy_if(soup.tensors.begin(), soup.tensors.end(), std::back_inserter(merged.tensors),
                 [&](const auto& entry) { return !done.contains(entry.first); });
    return merged;
}

Soup average_soups(const std::vector<Soup>& soups, std::vector<double> weights) {
    if (soups.empty()) {
        throw ConfigError("cannot average soups", "none are given", "name at least one soup file");
    }
    const std::string method = weights.empty() ? "uniform" : "weighted";
    weights = checked_weights(std::move(weights), soups.size(), "the soups");
    Soup average = soups.front();
    if (soups.size() == 1 && weights.front() == 1.0) {
        return average;
    }
    average.digest.clear();
    // Nobody has measured the average yet.
    average.score = std::numeric_limits<double>::quiet_NaN();
    average.metric.clear();
    average.sources.clear();
    average.weights = weights;
    average.method = method;
    keep_if_common(average, soups, &Soup::config);
    keep_if_common(average, soups, &Soup::machine);
    keep_if_common(average, soups, &Soup::seed);
    keep_if_common(average, soups, &Soup::step);
    keep_if_common(average, soups, &Soup::selected_on);
    for (const Soup& soup : soups) {
        if (!same_description(soup, soups.front())) {
            throw ConfigError("cannot average soups of different models", "model, adapter, task or labels differ",
                              "average soups of runs that differ in their seed or their options of training only");
        }
        check_holds(soups.front(), soup);
        check_holds(soup, soups.front());
        average.sources.push_back(soup.digest);
    }
    for (auto& [name, tensor] : average.tensors) {
        std::vector<const Tensor*> tensors;
        for (const Soup& soup : soups) {
            tensors.push_back(&soup.tensor(name));
        }
        tensor = weighted_sum(tensors, weights);
    }
    return average;
}

}  // namespace ladle
