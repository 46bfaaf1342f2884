// What the writers and readers of foreign formats share: the description of a soup as JSON and its tensors in order.
// Internal to src/io.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "ladle/adapters/bank.hpp"
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

/// Why a soup cannot be written in a format, and what can be done instead; an empty `why`: it can.
struct Misfit {
    std::string why;
    std::string fix;
};
Misfit adamix_misfit(const Soup& soup, const SoupExport& target);
Misfit adapters_misfit(const Soup& soup, const SoupExport& target);
Misfit peft_misfit(const Soup& soup, const SoupExport& target);
Misfit model_misfit(const Soup& soup, const SoupExport& target);

/// True if each bank has one expert: it is merged, or there was only one.
bool holds_one_expert(const Soup& soup);
/// True for kinds that sit on projections.
bool is_lora(const Soup& soup);
/// True for AdaKron's kinds.
bool has_factors(const Soup& soup);

/// Throws DataError if the description is not that of a soup that ladle can have: sizes, architecture, kind of adapter.
void check_description(const Soup& soup, const std::string& label);

/// True for the fields that files of schema 1.0 lack; they then keep their defaults.
bool is_since_1_1(const std::string& field);

/// The soup in an open file; throws DataError.
Soup soup_of(const Hdf5Reader& file);

/// All of a soup but its tensors and its file's digest.
nlohmann::ordered_json describe_soup(const Soup& soup);

/// The reverse; throws DataError naming `label` and the key that is missing or of the wrong type.
Soup parse_description(const nlohmann::json& description, const std::string& label);

/// Kind, layers, sizes, sharing and labels of a soup whose description was lost, from its tensors: names as in the
/// AdaMix or AdaKron repository, told apart by their down projections. Throws DataError if they are neither.
Soup guess_description(const TensorMap& tensors, const std::string& label);

/// SHA-256 over names, shapes and values, in the order of the names.
std::string tensor_digest(const TensorList& tensors);

/// The tensors of a torch file, of a safetensors file, or of both if they are equal; throws DataError.
TensorMap read_either(const std::string& directory, const char* torch_file, const char* safetensors_file);

/// The text at that key; empty if there is none.
std::string text_of(const nlohmann::json& object, const char* key);

/// Calls visit(name, shape) for every tensor of the banks in model order.
template <class Visitor>
void visit_bank_tensors(const Soup& soup, Visitor&& visit) {
    for (std::int64_t layer = 0; has_banks(soup) && layer < soup.num_layers; ++layer) {
        for (const Bank& bank : soup_banks(soup, layer)) {
            for (int k = 0; k < bank.experts; ++k) {
                for (const std::string& part : bank.parts()) {
                    visit(bank.tensor_name(k, part), bank.part_shape(part));
                }
            }
        }
    }
}

/// The places where a soup's adapters sit in one layer.
std::vector<Attachment> soup_attachments(const Soup& soup, std::int64_t layer);

/// Of LoRA with one expert: calls visit(place, name of A's tensor, name of B's) for every place in model order.
template <class Visitor>
void visit_lora_pairs(const Soup& soup, Visitor&& visit) {
    for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
        const std::vector<Bank> banks = soup_banks(soup, layer);
        const std::vector<Attachment> places = soup_attachments(soup, layer);
        for (std::size_t i = 0; i < places.size(); ++i) {
            visit(places[i], banks[2 * i].tensor_name(0, "weight"), banks[2 * i + 1].tensor_name(0, "weight"));
        }
    }
}

/// Fills soup.tensors in model order as float32 from tensors under the names of soups; throws DataError naming a
/// missing, surplus or misshapen one. A bias-only soup may hold any biases.
void take_tensors(Soup& soup, TensorMap tensors, const std::string& label);

/// Names and shapes of the head's tensors in model order.
std::vector<std::pair<std::string, Shape>> head_tensors(const Soup& soup);

/// Name of the output that has no label, or of each: what the configurations of transformers need.
std::vector<std::string> output_names(const Soup& soup);
/// The same as an object {name: index}.
nlohmann::ordered_json output_numbers(const Soup& soup);
/// "BertForSequenceClassification" or the same of RoBERTa.
std::string classifier_class(const Soup& soup);
/// The task's name, or "unknown".
std::string task_text(const Soup& soup);
/// The end of every README: labels, base model, digests, licence.
std::string readme_facts(const Soup& soup);

/// The writers and readers of the single formats; see export.hpp.
void export_adamix(const Soup& soup, const SoupExport& target);
Soup import_adamix(const std::string& path);
void export_safetensors(const Soup& soup, const SoupExport& target);
Soup import_safetensors(const std::string& path);
void export_adapters(const Soup& soup, const SoupExport& target);
Soup import_adapters(const std::string& directory);
void export_peft(const Soup& soup, const SoupExport& target);
Soup import_peft(const std::string& directory);
void export_model(const Soup& soup, const SoupExport& target);
Soup import_model(const std::string& directory);

}  // namespace ladle
