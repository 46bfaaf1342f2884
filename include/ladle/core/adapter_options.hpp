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
};

}  // namespace ladle
