// What a soup is cooked from: models of equal shape, mixed bank by bank with any weights in an engine's parameters.
// Below the search for good weights (soup_search.hpp).
#pragma once

#include <string>
#include <vector>

#include "ladle/io/soup.hpp"
#include "ladle/train/engine.hpp"

namespace ladle {

/// One ingredient: a merged soup and what it is called in tables.
struct Ingredient {
    std::string name;
    Soup soup;
};

/// The experts of one run (one soup with several experts: expert k is index k in every bank), or one ingredient per
/// soup, experts merged. `names` has one name per soup. Throws ConfigError with fewer than two ingredients or where
/// they are not of one model, adapter and task, DataError naming a tensor that is not in all.
std::vector<Ingredient> soup_ingredients(const std::vector<Soup>& soups, const std::vector<std::string>& names);

/// Weights of a mixture: [groups][ingredients].
using MixWeights = std::vector<std::vector<double>>;

/// Mixes ingredients into the parameters of an engine that was built for one of them. A group is a bank of a layer,
/// or everything outside the banks.
class IngredientMixer {
public:
    /// Throws DataError where an ingredient does not fit the engine.
    IngredientMixer(Engine& engine, const std::vector<Ingredient>& ingredients);

    std::size_t ingredients() const { return values_.size(); }
    /// Names of the groups in model order, e.g. "layer.0.down" and last "head".
    const std::vector<std::string>& groups() const { return groups_; }
    /// Equal weights in every group for these ingredients, 0 for the others.
    MixWeights uniform(const std::vector<std::size_t>& chosen) const;
    /// Sets the engine's parameters to the weighted sums, in the order of the ingredients, weights rounded to float32.
    /// A number in which all ingredients agree is kept as it is: weights sum to 1.
    void mix(const MixWeights& weights);
    /// dL/dweight [groups][ingredients] from dL/dparameter [total]: the sum over the group of gradient times value.
    MixWeights weight_gradient(const std::vector<float>& gradient) const;
    /// The engine's parameters under the names of `description`'s tensors, which come from one of the ingredients.
    Soup mixed_soup(Soup description) const;

private:
    Engine& engine_;
    std::vector<std::vector<float>> values_;  ///< [ingredients][total]
    std::vector<std::string> groups_;
    std::vector<std::size_t> group_of_;  ///< [parameters]
};

}  // namespace ladle
