// Where the experts of a training step come from: streams of picks by name, each a pure function of the global batch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ladle {

/// What a stream needs to know of a run.
struct RouteOptions {
    std::uint64_t seed = 0;
    int passes = 1;                      ///< forward passes per batch: 2 with the consistency loss
    int layers = 0;                      ///< encoder blocks with an adapter
    std::vector<int> draws;              ///< of each layer in order: the number of experts to choose from
    std::int64_t batches_per_epoch = 1;  ///< global batches
    std::int64_t evaluation_epochs = 1;  ///< epochs between evaluations; 0: never
};

/// One training batch, all its samples: expert of each (pass, layer, draw).
class RouteSource {
public:
    virtual ~RouteSource() = default;
    /// Picks [passes, layers, draws] of global batch `batch`, counted since the start of the run. The
    /// same whatever was asked before, so that a resumed run needs no state.
    virtual std::vector<int> picks(std::int64_t batch) = 0;
};

/// Names of the streams, in the order shown to users: counter, mt19937.
std::vector<std::string> route_stream_names();

/// The stream of that name; throws ConfigError listing the known names.
std::unique_ptr<RouteSource> make_route_source(const std::string& name, const RouteOptions& options);

/// Expert 0 .. experts - 1 of a row at inference level 0 (one per token) or 1 (one per sample), for one draw of one
/// layer. `sample` is the row of the sample in its split. Unlike the published levels, which draw anew at every
/// evaluation, the same seed always gives the same experts.
int evaluation_expert(int level, std::uint64_t seed, int layer, int draw, int experts, std::uint32_t sample,
                      std::uint32_t token);

}  // namespace ladle
