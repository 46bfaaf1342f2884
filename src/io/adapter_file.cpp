// Adapter files: /model, /experts, /data and /provenance carry attributes, /tensors holds the tensors by their names.
#include "ladle/io/adapter_file.hpp"

#include <fmt/format.h>

#include "adapter_parts.hpp"
#include "hdf5_fields.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr const char* kSchema = "ladle.adapter";
constexpr int kMajor = 1;
constexpr int kMinor = 0;
constexpr const char* kTensors = "/tensors/";
constexpr int kMostLayers = 1 << 12;

/// Calls visit(group, name, value) for every attribute but the options that are words.
template <class File, class Visitor>
void visit_fields(File& file, Visitor&& visit) {
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

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
    throw DataError("cannot read " + path, why, "use an adapter file that ladle wrote");
}

void write_words(Hdf5Writer& file, const MoaOptions& experts) {
    file.text("/experts", "router", block_router_name(experts.router));
    file.text("/experts", "rule", site_rule_name(experts.rule));
    file.text("/experts", "lora_layers", experts.lora_layers.text());
    file.text("/experts", "lora_targets", decoder_targets_text(experts.lora_targets));
    file.text("/experts", "adapter_layers", experts.adapter_layers.text());
    file.text("/experts", "prompt_layers", experts.prompt_layers.text());
}

void read_words(const Hdf5Reader& file, MoaOptions& experts) {
    experts.router = parse_block_router(file.text("/experts", "router"));
    experts.rule = parse_site_rule(file.text("/experts", "rule"));
    experts.lora_layers = LayerRanges::parse(file.text("/experts", "lora_layers"));
    const std::string targets = file.text("/experts", "lora_targets");
    experts.lora_targets = targets.empty() ? std::vector<DecoderProjection>{} : parse_decoder_targets(targets);
    experts.adapter_layers = LayerRanges::parse(file.text("/experts", "adapter_layers"));
    experts.prompt_layers = LayerRanges::parse(file.text("/experts", "prompt_layers"));
}

/// A number read as 64 bits must fit before it is narrowed.
void require_size(const Hdf5Reader& file, const char* group, const char* name, int most) {
    const std::int64_t value = file.integer(group, name);
    if (value < 0 || value > most) {
        refuse(file.path(), fmt::format("{} of {} is {}", name, group, value));
    }
}

void check_sizes(const Hdf5Reader& file) {
    for (const char* name : {"dim", "heads", "kv_heads", "head_dim", "ffn"}) {
        require_size(file, "/model", name, kLargestWidth);
    }
    require_size(file, "/model", "layers", kMostLayers);
    for (const char* name : {"num_experts", "top_k"}) {
        require_size(file, "/experts", name, kMostExperts);
    }
    for (const char* name : {"router_expansion", "lora_rank", "adapter_size", "prompt_length"}) {
        require_size(file, "/experts", name, kLargestWidth);
    }
    require_size(file, "/data", "max_length", kLargestWidth);
    const std::int64_t heads = file.integer("/model", "heads");
    if (heads * file.integer("/model", "head_dim") > kLargestWidth || file.integer("/model", "kv_heads") > heads) {
        refuse(file.path(), "its heads are too many or too wide");
    }
}

}  // namespace

ParameterTable expert_table(const AdapterFile& adapter, std::size_t held, const std::string& path) {
    if (static_cast<std::size_t>(adapter.experts.num_experts) > held) {
        refuse(path, fmt::format("it holds {} tensors and is of {} experts", held, adapter.experts.num_experts));
    }
    ParameterTable table;
    DecoderBlockShape block = adapter.block;
    for (block.layer = 0; block.layer < adapter.layers && table.all().size() <= held; ++block.layer) {
        add_expert_tensors(adapter.experts, block, table);
    }
    if (table.all().size() != held) {
        refuse(path, fmt::format("it holds {} tensors, {} than its experts have", held,
                                 held < table.all().size() ? "fewer" : "more"));
    }
    return table;
}

void write_adapter_file(const std::string& path, AdapterFile& adapter) {
    Hdf5Writer file(kSchema, kMajor, kMinor);
    for (const char* group : {"/model", "/experts", "/data", "/provenance", "/tensors"}) {
        file.group(group);
    }
    visit_fields(adapter, [&](const char* group, const char* name, const auto& value) {
        write_field(file, group, name, value);
    });
    write_words(file, adapter.experts);
    for (const auto& [name, tensor] : adapter.tensors) {
        file.tensor(kTensors + name, tensor);
    }
    adapter.digest = file.save(path);
}

AdapterFile read_adapter_file(const std::string& path) {
    return adapter_of(Hdf5Reader(path));
}

AdapterFile adapter_of(const Hdf5Reader& file) {
    file.require_schema(kSchema, kMajor);
    check_sizes(file);
    AdapterFile adapter;
    visit_fields(adapter,
                 [&](const char* group, const char* name, auto& value) { read_field(file, group, name, value); });
    try {
        read_words(file, adapter.experts);
        check_moa_options(adapter.experts, adapter.layers);
    } catch (const ConfigError& error) {
        refuse(file.path(), error.cause());
    }
    adapter.digest = file.digest();
    const ParameterTable table = expert_table(adapter, file.members("/tensors").size(), file.path());
    for (const Parameter& parameter : table.all()) {
        adapter.tensors.emplace_back(parameter.name,
                                     file.tensor(kTensors + parameter.name, DType::f32, parameter.shape));
    }
    return adapter;
}

}  // namespace ladle
