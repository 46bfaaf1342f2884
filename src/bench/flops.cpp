// The count behind "useful GFLOP/s".
#include "ladle/bench/flops.hpp"

namespace ladle {
namespace {

/// FLOP of one layer's forward over some samples, by kind.
struct LayerWork {
    double frozen = 0;     ///< query, key, value, attention output, both feed-forward products
    double attention = 0;  ///< scores and weighted values
    double adapter = 0;    ///< down and up
};

LayerWork layer_work(const UsefulWork& work, const std::vector<int>& lengths) {
    double tokens = 0;
    double pairs = 0;
    for (const int length : lengths) {
        tokens += length;
        pairs += static_cast<double>(length) * length;
    }
    const double hidden = work.backbone.hidden_size;
    const double inner = work.backbone.intermediate_size;
    return {2 * tokens * (4 * hidden * hidden + 2 * hidden * inner), 4 * pairs * hidden,
            4 * tokens * hidden * work.bottleneck};
}

}  // namespace

double UsefulWork::forward(const std::vector<int>& lengths) const {
    const LayerWork layer = layer_work(*this, lengths);
    const double hidden = backbone.hidden_size;
    const double head = 2 * hidden * hidden + 2 * hidden * outputs;
    return backbone.num_layers * (layer.frozen + layer.attention + layer.adapter) +
           static_cast<double>(lengths.size()) * head;
}

double UsefulWork::training(const std::vector<int>& lengths, int passes) const {
    const LayerWork layer = layer_work(*this, lengths);
    const double hidden = backbone.hidden_size;
    const bool frozen_pooler = find_architecture(backbone.architecture).pooler_head;
    const double head = (frozen_pooler ? 2 : 4) * hidden * hidden + 4 * hidden * outputs;
    // The lowest adapter needs the gradient of its up projection's input, but not of its own input.
    const double backward = (backbone.num_layers - 1) * (layer.frozen + 2 * layer.attention + layer.adapter) +
                            layer.adapter / 2 + backbone.num_layers * layer.adapter +
                            static_cast<double>(lengths.size()) * head;
    return passes * (forward(lengths) + backward);
}

}  // namespace ladle
