// The options of an adapter, as configs, models and soups name them.
#pragma once

#include <string>

namespace ladle {

struct AdapterOptions {
    std::string kind = "adamix";
    int size = 16;  ///< bottleneck
    int num_experts = 4;
    bool share_up = true;
    bool share_down = false;
    std::string activation = "gelu";
    int factor = 4;  ///< AdaKron: width of the small factor; the large one has size / factor
    std::string factor_order =
        "small_outer";                    ///< AdaKron: small_outer | large_outer: which factor the outer index is of
    std::string factor_experts = "both";  ///< MAdaKron: both | small | large: the factors that have experts
    std::string targets = "query,value";  ///< LoRA: projections, see projection_names()
    double alpha = 16;                    ///< LoRA: its output is multiplied by alpha / size
    double dropout = 0;                   ///< LoRA: of its input, while training
    std::string start = "same";           ///< LoRA: same | apart: experts of a bank start equal, or each by itself
};

}  // namespace ladle
