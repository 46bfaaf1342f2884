// What the writers and readers of foreign formats share: the description of a soup as JSON and its tensors in order.
// Internal to src/io.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "ladle/io/export.hpp"
#include "ladle/io/hdf5.hpp"

namespace ladle {

/// Calls visit(key, group, name, member) for every field of a soup but its tensors and its file's digest, in the order
/// of the files: `key` in JSON descriptions, attribute `name` of `group` in HDF5 files.
template <class Visitor>
void visit_soup_fields(Visitor&& visit) {
    visit("architecture", "/model", "architecture", &Soup::architecture);
    visit("hidden_size", "/model", "hidden_size", &Soup::hidden_size);
    visit("num_layers", "/model", "num_layers", &Soup::num_layers);
    visit("intermediate_size", "/model", "intermediate_size", &Soup::intermediate_size);
    visit("backbone_sha256", "/model", "backbone_sha256", &Soup::backbone_digest);
    visit("tokenizer_sha256", "/model", "tokenizer_sha256", &Soup::tokenizer_digest);
    visit("adapter_kind", "/adapter", "kind", &Soup::adapter_kind);
    visit("adapter_size", "/adapter", "size", &Soup::adapter_size);
    visit("num_experts", "/adapter", "num_experts", &Soup::num_experts);
    visit("share_down", "/adapter", "share_down", &Soup::share_down);
    visit("share_up", "/adapter", "share_up", &Soup::share_up);
    visit("activation", "/adapter", "activation", &Soup::activation);
    visit("lora_targets", "/adapter", "lora_targets", &Soup::lora_targets);
    visit("lora_alpha", "/adapter", "lora_alpha", &Soup::lora_alpha);
    visit("factor_size", "/adapter", "factor_size", &Soup::factor_size);
    visit("factor_order", "/adapter", "factor_order", &Soup::factor_order);
    visit("factor_experts", "/adapter", "factor_experts", &Soup::factor_experts);
    visit("merged", "/adapter", "merged", &Soup::merged);
    visit("weights", "/adapter", "weights", &Soup::weights);
    visit("task", "/task", "name", &Soup::task);
    visit("label_names", "/task", "label_names", &Soup::label_names);
    visit("regression", "/task", "regression", &Soup::regression);
    visit("max_length", "/task", "max_length", &Soup::max_length);
    visit("config", "/provenance", "config", &Soup::config);
    visit("machine", "/provenance", "machine", &Soup::machine);
    visit("seed", "/provenance", "seed", &Soup::seed);
    visit("step", "/provenance", "step", &Soup::step);
    visit("score", "/provenance", "score", &Soup::score);
    visit("metric", "/provenance", "metric", &Soup::metric);
    visit("sources", "/provenance", "sources", &Soup::sources);
    visit("method", "/provenance", "method", &Soup::method);
    visit("selected_on", "/provenance", "selected_on", &Soup::selected_on);
}

/// Throws DataError if the soup's adapter is not one that ladle has.
void check_adapter(const Soup& soup, const std::string& label);

/// The soup in an open file; throws DataError.
Soup soup_of(const Hdf5Reader& file);

/// All of a soup but its tensors and its file's digest.
nlohmann::ordered_json describe_soup(const Soup& soup);

/// The reverse; throws DataError naming `label` and the key that is missing or of the wrong type.
Soup parse_description(const nlohmann::json& description, const std::string& label);

/// Layers, sizes, sharing and labels of a soup whose description was lost, from its tensors: names as in the AdaMix
/// repository. Throws DataError if they are no AdaMix soup.
Soup guess_description(const TensorMap& tensors, const std::string& label);

/// Fills soup.tensors in model order as float32 from tensors under the names of soups; throws DataError naming a
/// missing, surplus or misshapen one. A bias-only soup may hold any biases.
void take_tensors(Soup& soup, TensorMap tensors, const std::string& label);

/// Names and shapes of the head's tensors in model order.
std::vector<std::pair<std::string, Shape>> head_tensors(const Soup& soup);

/// The writers and readers of the single formats; see export.hpp.
void export_adamix(const Soup& soup, const SoupExport& target);
Soup import_adamix(const std::string& path);
void export_safetensors(const Soup& soup, const SoupExport& target);
Soup import_safetensors(const std::string& path);
void export_adapters(const Soup& soup, const SoupExport& target);
Soup import_adapters(const std::string& directory);

}  // namespace ladle
