// Renaming of pretrained tensors.
#include "ladle/models/tensor_names.hpp"

#include <algorithm>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

std::string replace_ending(const std::string& name, const std::string& old_ending, const std::string& ending) {
    return name.ends_with(old_ending) ? name.substr(0, name.size() - old_ending.size()) + ending : name;
}

}  // namespace

std::string encoder_tensor_name(const std::string& name, const std::string& encoder_prefix) {
    const std::string inner = name.starts_with(encoder_prefix) ? name.substr(encoder_prefix.size()) : name;
    return replace_ending(replace_ending(inner, ".gamma", ".weight"), ".beta", ".bias");
}

StoredTensorMap classifier_tensors(const StoredTensorMap& tensors, const Architecture& architecture) {
    StoredTensorMap named;
    for (const auto& [full_name, tensor] : tensors) {
        const std::string name = encoder_tensor_name(full_name, architecture.prefix);
        const bool ignored = std::any_of(architecture.ignorable.begin(), architecture.ignorable.end(),
                                         [&](const std::string& start) { return name.starts_with(start); });
        if (!ignored && !named.emplace(architecture.prefix + name, tensor).second) {
            throw DataError("cannot use the model's tensors", "two of them are " + (architecture.prefix + name),
                            "remove one of them from the weight files");
        }
    }
    return named;
}

}  // namespace ladle
