// What the writers and readers of adapters share. Internal to src/io.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "ladle/io/adapter_file.hpp"

namespace ladle {

// Above any model, and small enough that a width times a number of experts is an int.
inline constexpr int kLargestWidth = 1 << 16;
inline constexpr int kMostExperts = 1 << 12;
inline constexpr int kMostLayers = 1 << 12;

/// Calls visit(group, name, value) for every field but the options that are words: `name` alone in JSON descriptions,
/// attribute `name` of `group` in HDF5 files.
template <class File, class Visitor>
void visit_adapter_fields(File& file, Visitor&& visit) {
    visit("/model", "dim", file.block.dim);
    visit("/model", "heads", file.block.heads);
    visit("/model", "kv_heads", file.block.kv_heads);
    visit("/model", "head_dim", file.block.head_dim);
    visit("/model", "ffn", file.block.ffn);
    visit("/model", "layers", file.layers);
    visit("/model", "backbone_sha256", file.backbone_digest);
    visit("/model", "tokenizer_sha256", file.tokenizer_digest);
    visit("/experts", "system", file.system);
    visit("/experts", "router_expansion", file.experts.router_expansion);
    visit("/experts", "max_threshold", file.experts.max_threshold);
    visit("/experts", "constant_threshold", file.experts.constant_threshold);
    visit("/experts", "trained_threshold", file.experts.trained_threshold);
    visit("/experts", "own_adapter_gate", file.experts.own_adapter_gate);
    visit("/experts", "normed_router", file.experts.normed_router);
    visit("/experts", "num_experts", file.experts.num_experts);
    visit("/experts", "top_k", file.experts.top_k);
    visit("/experts", "share_lora_a", file.experts.share_lora_a);
    visit("/experts", "share_down", file.experts.share_down);
    visit("/experts", "lora_rank", file.experts.lora_rank);
    visit("/experts", "lora_alpha", file.experts.lora_alpha);
    visit("/experts", "adapter_size", file.experts.adapter_size);
    visit("/experts", "prompt_length", file.experts.prompt_length);
    visit("/data", "task", file.task);
    visit("/data", "max_length", file.max_length);
    visit("/data", "labels", file.labels);
    visit("/provenance", "config", file.config);
    visit("/provenance", "machine", file.machine);
    visit("/provenance", "seed", file.seed);
    visit("/provenance", "step", file.step);
    visit("/provenance", "score", file.score);
    visit("/provenance", "metric", file.metric);
    visit("/provenance", "selected_on", file.selected_on);
}

/// Calls visit(group, name, most) for every field that is a size, from 0 to `most`.
template <class Visitor>
void visit_adapter_limits(Visitor&& visit) {
    for (const char* name : {"dim", "heads", "kv_heads", "head_dim", "ffn"}) {
        visit("/model", name, kLargestWidth);
    }
    visit("/model", "layers", kMostLayers);
    for (const char* name : {"num_experts", "top_k"}) {
        visit("/experts", name, kMostExperts);
    }
    for (const char* name : {"router_expansion", "lora_rank", "adapter_size", "prompt_length"}) {
        visit("/experts", name, kLargestWidth);
    }
    visit("/data", "max_length", kLargestWidth);
}

/// What decoder_targets_text wrote; no projection for an empty text. Throws ConfigError as parse_decoder_targets does.
std::vector<DecoderProjection> targets_of(const std::string& text);

/// The options that are words, in the order of the files.
std::vector<std::pair<const char*, std::string>> option_words(const MoaOptions& experts);

/// After all other fields were read: sets the options that are words from word(name), and checks that everything fits
/// together. Throws DataError naming `path`.
void settle_adapter(AdapterFile& adapter, const std::function<std::string(const char*)>& word, const std::string& path);

/// All of an adapter but its tensors and its file's digest.
nlohmann::ordered_json describe_adapter(const AdapterFile& adapter);

/// The reverse; throws DataError naming `label` and what is missing, of the wrong type or out of range.
AdapterFile parse_adapter_description(const nlohmann::json& description, const std::string& label);

/// The end of every README: base model, its digest, licence.
std::string adapter_facts(const AdapterFile& adapter);

/// The tensors of the adapter's experts, names and shapes in model order. Throws DataError naming `path` if they are
/// not `held` ones: experts that no such file can hold are not listed one by one.
ParameterTable expert_table(const AdapterFile& adapter, std::size_t held, const std::string& path);

/// Fills adapter.tensors in model order as float32 from tensors whose names have `prefix` before those of adapter
/// files. Throws DataError naming `path` and what is missing, surplus or misshapen.
void take_expert_tensors(AdapterFile& adapter, const StoredTensorMap& tensors, const std::string& prefix,
                         const std::string& path);

}  // namespace ladle
