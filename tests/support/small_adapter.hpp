// An adapter file of a decoder of two small blocks.
#pragma once

#include <string>
#include <vector>

#include "ladle/io/adapter_file.hpp"

namespace ladle::test {

/// Experts of the system with their first values from seed 1.
inline AdapterFile small_adapter(const std::string& system) {
    AdapterFile adapter;
    adapter.block = {0, 12, 4, 2, 4, 10};
    adapter.layers = 2;
    adapter.backbone_digest = "b";
    adapter.tokenizer_digest = "t";
    adapter.system = system;
    adapter.experts = moa_options(system, 2);
    adapter.experts.lora_rank = 3;
    adapter.experts.lora_alpha = 24;
    if (adapter.experts.router == BlockRouter::threshold) {
        adapter.experts.max_threshold = 0.25;
    }
    adapter.task = "instructions";
    adapter.max_length = 77;
    adapter.labels = "published";
    adapter.config = "run.seed = 5\n";
    adapter.machine = "m";
    adapter.seed = 5;
    adapter.step = 7;
    adapter.score = 1.5;
    adapter.metric = "perplexity";
    adapter.selected_on = "dev";
    ParameterTable table;
    DecoderBlockShape block = adapter.block;
    for (block.layer = 0; block.layer < 2; ++block.layer) {
        add_expert_tensors(adapter.experts, block, table);
    }
    std::vector<float> values(table.total_count());
    table.initialize(1, values.data());
    for (const Parameter& parameter : table.all()) {
        adapter.tensors.emplace_back(parameter.name,
                                     Tensor::from_floats(parameter.shape, values.data() + parameter.offset));
    }
    return adapter;
}

}  // namespace ladle::test
