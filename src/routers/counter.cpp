// Routes from the counter-based generator, in training and at inference levels 0 and 1.
#include "ladle/core/check.hpp"
#include "ladle/core/random.hpp"
#include "streams.hpp"

namespace ladle {
namespace {

class CounterRoutes final : public RouteSource {
public:
    explicit CounterRoutes(const RouteOptions& options) : options_(options) {}

    std::vector<int> picks(std::int64_t batch) override {
        std::vector<int> picks;
        Stream stream{.seed = options_.seed, .batch = static_cast<std::uint32_t>(batch), .purpose = Purpose::route};
        for (int pass = 0; pass < options_.passes; ++pass) {
            for (int layer = 0; layer < options_.layers; ++layer) {
                stream.pass = static_cast<std::uint32_t>(pass);
                stream.layer = static_cast<std::uint32_t>(layer);
                picks.push_back(pick(stream, 0, options_.down_experts));
                picks.push_back(pick(stream, 1, options_.up_experts));
            }
        }
        return picks;
    }

private:
    static int pick(Stream stream, std::uint32_t bank, int experts) {
        stream.site = bank;
        return static_cast<int>(uniform_below(random_word(stream, 0), static_cast<std::uint32_t>(experts)));
    }

    RouteOptions options_;
};

}  // namespace

std::unique_ptr<RouteSource> make_counter_routes(const RouteOptions& options) {
    return std::make_unique<CounterRoutes>(options);
}

int evaluation_expert(int level, std::uint64_t seed, int layer, int bank, int experts, std::uint32_t sample,
                      std::uint32_t token) {
    check(level == 0 || level == 1, "rows have their own experts at inference levels 0 and 1 only");
    const Stream stream{.seed = seed,
                        .row = sample,
                        .purpose = Purpose::evaluation_route,
                        .layer = static_cast<std::uint32_t>(layer),
                        .site = static_cast<std::uint32_t>(bank)};
    const std::uint32_t index = level == 0 ? token : 0;
    return static_cast<int>(uniform_below(random_word(stream, index), static_cast<std::uint32_t>(experts)));
}

}  // namespace ladle
