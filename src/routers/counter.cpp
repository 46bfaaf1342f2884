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
                for (std::size_t draw = 0; draw < options_.draws.size(); ++draw) {
                    stream.site = static_cast<std::uint32_t>(draw);
                    const auto experts = static_cast<std::uint32_t>(options_.draws[draw]);
                    picks.push_back(static_cast<int>(uniform_below(random_word(stream, 0), experts)));
                }
            }
        }
        return picks;
    }

private:
    RouteOptions options_;
};

}  // namespace

std::unique_ptr<RouteSource> make_counter_routes(const RouteOptions& options) {
    return std::make_unique<CounterRoutes>(options);
}

int evaluation_expert(int level, std::uint64_t seed, int layer, int draw, int experts, std::uint32_t sample,
                      std::uint32_t token) {
    check(level == 0 || level == 1, "rows have their own experts at inference levels 0 and 1 only");
    const Stream stream{.seed = seed,
                        .row = sample,
                        .purpose = Purpose::evaluation_route,
                        .layer = static_cast<std::uint32_t>(layer),
                        .site = static_cast<std::uint32_t>(draw)};
    const std::uint32_t index = level == 0 ? token : 0;
    return static_cast<int>(uniform_below(random_word(stream, index), static_cast<std::uint32_t>(experts)));
}

}  // namespace ladle
