// Routes of the published AdaMix program in one process: the picks come from PyTorch's global CPU generator, which is
// MT19937 seeded with the low 32 bits of the seed. Source: AdaMix repository, src/transformers/models/expert_soup.py
// (torch.randint per bank and forward pass) and PyTorch's random sampler and data loader.
#include <random>

#include "streams.hpp"

namespace ladle {
namespace {

// The sampler of an epoch and the loader of an evaluation each draw one 64-bit seed.
constexpr std::int64_t kOutputsPerEpoch = 2;
constexpr std::int64_t kOutputsPerEvaluation = 2;

class Mt19937Routes final : public RouteSource {
public:
    explicit Mt19937Routes(const RouteOptions& options) : options_(options) { restart(); }

    std::vector<int> picks(std::int64_t batch) override {
        seek(outputs_before(batch));
        std::vector<int> picks;
        for (int pass = 0; pass < options_.passes; ++pass) {
            for (int layer = 0; layer < options_.layers; ++layer) {
                for (const int experts : options_.draws) {
                    // A draw among one takes an output of the generator, too.
                    picks.push_back(next_below(experts));
                }
            }
        }
        return picks;
    }

private:
    std::int64_t outputs_before(std::int64_t batch) const {
        const std::int64_t epoch = batch / options_.batches_per_epoch;
        const std::int64_t evaluations = options_.evaluation_epochs == 0 ? 0 : epoch / options_.evaluation_epochs;
        const std::int64_t per_batch =
            static_cast<std::int64_t>(options_.draws.size()) * options_.passes * options_.layers;
        return (epoch + 1) * kOutputsPerEpoch + evaluations * kOutputsPerEvaluation + batch * per_batch;
    }
    void restart() {
        generator_.seed(static_cast<std::uint32_t>(options_.seed));
        drawn_ = 0;
    }
    void seek(std::int64_t position) {
        if (position < drawn_) {
            restart();
        }
        generator_.discard(static_cast<unsigned long long>(position - drawn_));
        drawn_ = position;
    }
    int next_below(int experts) {
        ++drawn_;
        return static_cast<int>(generator_() % static_cast<std::uint32_t>(experts));
    }

    RouteOptions options_;
    std::mt19937 generator_;
    std::int64_t drawn_ = 0;
};

}  // namespace

std::unique_ptr<RouteSource> make_mt19937_routes(const RouteOptions& options) {
    return std::make_unique<Mt19937Routes>(options);
}

}  // namespace ladle
