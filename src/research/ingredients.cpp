// Ingredients as flat arrays over the engine's parameter table.
#include "ladle/research/ingredients.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "ladle/core/error.hpp"
#include "ladle/train/soup_model.hpp"

namespace ladle {
namespace {

/// Group of each tensor of a bank: "layer.0.down".
std::map<std::string, std::string> bank_groups(const ModelSpec& spec) {
    std::map<std::string, std::string> groups;
    for (int layer = 0; layer < spec.backbone.num_layers; ++layer) {
        for (const Bank& bank : model_banks(spec, layer)) {
            for (const std::string& part : bank.parts()) {
                groups[bank.tensor_name(0, part)] = fmt::format("layer.{}.{}", layer, bank.name);
            }
        }
    }
    return groups;
}

}  // namespace

std::vector<Ingredient> soup_ingredients(const std::vector<Soup>& soups, const std::vector<std::string>& names) {
    std::vector<Ingredient> ingredients;
    if (soups.size() == 1 && !soups.front().merged && has_banks(soups.front())) {
        const auto experts = static_cast<std::size_t>(soups.front().num_experts);
        for (std::size_t k = 0; k < experts; ++k) {
            std::vector<double> weights(experts, 0.0);
            weights[k] = 1;
            ingredients.push_back({fmt::format("expert {}", k), merge_experts(soups.front(), weights)});
        }
    } else {
        for (std::size_t i = 0; i < soups.size(); ++i) {
            ingredients.push_back({names.at(i), soups[i].merged ? soups[i] : merge_experts(soups[i])});
        }
    }
    if (ingredients.size() < 2) {
        throw ConfigError("there is nothing to choose from", "a single merged soup or a single expert is given",
                          "name the best.h5 of a run with several experts, or the soups of several runs");
    }
    std::vector<Soup> all;
    for (const Ingredient& ingredient : ingredients) {
        all.push_back(ingredient.soup);
    }
    average_soups(all);
    return ingredients;
}

IngredientMixer::IngredientMixer(Engine& engine, const std::vector<Ingredient>& ingredients) : engine_(engine) {
    for (const Ingredient& ingredient : ingredients) {
        load_soup(ingredient.soup, engine_);
        values_.push_back(engine_.parameters());
    }
    const auto banks = bank_groups(engine_.spec());
    for (const Parameter& parameter : engine_.table().all()) {
        const auto bank = banks.find(parameter.name);
        const std::string name = bank == banks.end() ? "head" : bank->second;
        const auto found = std::find(groups_.begin(), groups_.end(), name);
        group_of_.push_back(static_cast<std::size_t>(found - groups_.begin()));
        if (found == groups_.end()) {
            groups_.push_back(name);
        }
    }
}

MixWeights IngredientMixer::uniform(const std::vector<std::size_t>& chosen) const {
    std::vector<double> weights(values_.size(), 0.0);
    for (const std::size_t ingredient : chosen) {
        weights[ingredient] = 1.0 / static_cast<double>(chosen.size());
    }
    return MixWeights(groups_.size(), weights);
}

void IngredientMixer::mix(const MixWeights& weights) {
    std::vector<float> mixed(engine_.table().total_count());
    for (std::size_t id = 0; id < group_of_.size(); ++id) {
        const Parameter& parameter = engine_.table().at(id);
        const std::vector<double>& shares = weights[group_of_[id]];
        for (std::size_t i = parameter.offset; i < parameter.offset + parameter.count; ++i) {
            const float first = values_[0][i];
            float sum = static_cast<float>(shares[0]) * first;
            bool agree = true;
            for (std::size_t k = 1; k < values_.size(); ++k) {
                sum += static_cast<float>(shares[k]) * values_[k][i];
                agree = agree && values_[k][i] == first;
            }
            mixed[i] = agree ? first : sum;
        }
    }
    engine_.set_parameters(mixed);
}

MixWeights IngredientMixer::weight_gradient(const std::vector<float>& gradient) const {
    MixWeights result(groups_.size(), std::vector<double>(values_.size(), 0.0));
    for (std::size_t id = 0; id < group_of_.size(); ++id) {
        const Parameter& parameter = engine_.table().at(id);
        for (std::size_t k = 0; k < values_.size(); ++k) {
            double sum = 0;
            for (std::size_t i = parameter.offset; i < parameter.offset + parameter.count; ++i) {
                sum += static_cast<double>(gradient[i]) * static_cast<double>(values_[k][i]);
            }
            result[group_of_[id]][k] += sum;
        }
    }
    return result;
}

Soup IngredientMixer::mixed_soup(Soup description) const {
    const std::vector<float> mixed = engine_.parameters();
    const auto names = model_parameter_names(description);
    for (auto& [name, tensor] : description.tensors) {
        const std::string& parameter_name = names.at(name);
        for (const Parameter& parameter : engine_.table().all()) {
            if (parameter.name == parameter_name) {
                tensor = Tensor::from_floats(tensor.shape, mixed.data() + parameter.offset);
            }
        }
    }
    description.digest.clear();
    return description;
}

}  // namespace ladle
