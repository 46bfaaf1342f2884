// Dropout counters of a site.
#include "ladle/layers/context.hpp"

#include "ladle/core/random.hpp"

namespace ladle {

DropoutSite DropoutPlan::at(Site site, int layer, double probability) const {
    DropoutSite result;
    if (!on || probability == 0) {
        return result;
    }
    result.seed = seed;
    result.batch = batch;
    result.layer = static_cast<std::uint32_t>(layer);
    result.site = static_cast<std::uint32_t>(site);
    result.threshold = dropout_threshold(probability);
    result.scale = 1.0 / (1.0 - probability);
    return result;
}

}  // namespace ladle
