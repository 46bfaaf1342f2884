// The tensors of a LLaMA decoder: one table of names, shapes and cuts for all three layouts.
#include "ladle/models/decoder_weights.hpp"

#include <set>
#include <utility>

#include "json_fields.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/stored_views.hpp"

namespace ladle {
namespace {

using nlohmann::json;

enum class Layout { meta, hugging_face, gguf };

/// Lengths that occur in the shapes; none: the tensor has one dimension.
enum class Extent { none, dim, queries, keys, ffn, vocab };

/// How tensor-parallel shards hold a tensor. either: by rows or by columns, as the shapes show.
enum class Cut { by_rows, by_columns, either, replicated };

struct TensorRow {
    const char* meta;
    const char* hugging_face;
    const char* gguf;
    Extent rows;
    Extent columns;
    Cut cut;
};

constexpr TensorRow kModelRows[] = {
    {"tok_embeddings.weight", "model.embed_tokens.weight", "token_embd.weight", Extent::vocab, Extent::dim,
     Cut::either},
    {"norm.weight", "model.norm.weight", "output_norm.weight", Extent::dim, Extent::none, Cut::replicated},
};
constexpr TensorRow kOutputRow = {"output.weight", "lm_head.weight", "output.weight",
                                  Extent::vocab,   Extent::dim,      Cut::by_rows};
constexpr TensorRow kQueryRow = {
    "attention.wq.weight", "self_attn.q_proj.weight", "attn_q.weight", Extent::queries, Extent::dim, Cut::by_rows};
constexpr TensorRow kKeyRow = {
    "attention.wk.weight", "self_attn.k_proj.weight", "attn_k.weight", Extent::keys, Extent::dim, Cut::by_rows};
constexpr TensorRow kLayerRows[] = {
    kQueryRow,
    kKeyRow,
    {"attention.wv.weight", "self_attn.v_proj.weight", "attn_v.weight", Extent::keys, Extent::dim, Cut::by_rows},
    {"attention.wo.weight", "self_attn.o_proj.weight", "attn_output.weight", Extent::dim, Extent::queries,
     Cut::by_columns},
    {"feed_forward.w1.weight", "mlp.gate_proj.weight", "ffn_gate.weight", Extent::ffn, Extent::dim, Cut::by_rows},
    {"feed_forward.w2.weight", "mlp.down_proj.weight", "ffn_down.weight", Extent::dim, Extent::ffn, Cut::by_columns},
    {"feed_forward.w3.weight", "mlp.up_proj.weight", "ffn_up.weight", Extent::ffn, Extent::dim, Cut::by_rows},
    {"attention_norm.weight", "input_layernorm.weight", "attn_norm.weight", Extent::dim, Extent::none, Cut::replicated},
    {"ffn_norm.weight", "post_attention_layernorm.weight", "ffn_norm.weight", Extent::dim, Extent::none,
     Cut::replicated},
};

std::int64_t length_of(Extent extent, const DecoderConfig& config) {
    switch (extent) {
        case Extent::dim:
            return config.dim;
        case Extent::queries:
            return std::int64_t{config.heads} * config.head_dim;
        case Extent::keys:
            return std::int64_t{config.kv_heads} * config.head_dim;
        case Extent::ffn:
            return config.ffn;
        default:
            return config.vocab;
    }
}

Shape shape_of(const TensorRow& row, const DecoderConfig& config) {
    Shape shape = {length_of(row.rows, config)};
    if (row.columns != Extent::none) {
        shape.push_back(length_of(row.columns, config));
    }
    return shape;
}

std::string stored_name(const TensorRow& row, Layout layout) {
    return layout == Layout::meta ? row.meta : layout == Layout::hugging_face ? row.hugging_face : row.gguf;
}

std::string layer_prefix(Layout layout, int layer) {
    const char* start = layout == Layout::meta ? "layers." : layout == Layout::hugging_face ? "model.layers." : "blk.";
    return start + std::to_string(layer) + ".";
}

/// A row of the table where a decoder has it.
struct Place {
    const TensorRow* row;
    int layer;  ///< -1: outside the layers

    std::string prefix(Layout layout) const { return layer < 0 ? "" : layer_prefix(layout, layer); }
    std::string meta_name() const { return prefix(Layout::meta) + row->meta; }
};

std::vector<Place> places(const DecoderConfig& config) {
    std::vector<Place> result;
    for (const TensorRow& row : kModelRows) {
        result.push_back({&row, -1});
    }
    if (!config.tied_output) {
        result.push_back({&kOutputRow, -1});
    }
    for (int layer = 0; layer < config.layers; ++layer) {
        for (const TensorRow& row : kLayerRows) {
            result.push_back({&row, layer});
        }
    }
    return result;
}

[[noreturn]] void refuse(const std::string& label, const std::string& why) {
    throw DataError("cannot use the model of " + label, why,
                    "use all files of one LLaMA model, and the description that belongs to them");
}

/// The tensors of all shards while they are put together under Meta's names.
class Assembly {
public:
    Assembly(std::vector<StoredTensorMap> shards, Layout layout, const std::string& label)
        : shards_(std::move(shards)), layout_(layout), label_(label) {}

    /// Takes every tensor that the description asks for.
    StoredTensorMap take_all(const DecoderConfig& config) {
        StoredTensorMap taken;
        for (const Place& place : places(config)) {
            const std::string name = place.prefix(layout_) + stored_name(*place.row, layout_);
            taken.emplace(place.meta_name(), take(*place.row, name, config));
        }
        return taken;
    }

    /// Throws DataError naming the first tensor left over that is not among the ignorable ones.
    void finish(const std::set<std::string>& ignorable) const {
        for (const StoredTensorMap& shard : shards_) {
            for (const auto& [name, tensor] : shard) {
                if (!ignorable.contains(name)) {
                    refuse(label_, "tensor " + name + " is surplus: a LLaMA decoder of this description lacks it");
                }
            }
        }
    }

private:
    StoredTensor take(const TensorRow& row, const std::string& name, const DecoderConfig& config) {
        std::vector<StoredTensor> parts;
        for (StoredTensorMap& shard : shards_) {
            const auto found = shard.find(name);
            if (found == shard.end()) {
                refuse(label_, "tensor " + name + " is missing");
            }
            parts.push_back(std::move(found->second));
            shard.erase(found);
        }
        const Shape expected = shape_of(row, config);
        StoredTensor whole = join(std::move(parts), row.cut, name, expected);
        if (whole.shape != expected) {
            refuse(label_, "tensor " + name + " has shape " + shape_text(whole.shape) +
                               " but the description asks for " + shape_text(expected));
        }
        return whole;
    }

    StoredTensor join(std::vector<StoredTensor> parts, Cut cut, const std::string& name, const Shape& expected) const {
        if (parts.size() == 1) {
            return std::move(parts.front());
        }
        for (const StoredTensor& part : parts) {
            check_part(part, name, expected);
        }
        if (cut == Cut::replicated) {
            check_equal(parts, name);
            return std::move(parts.front());
        }
        const bool by_rows = cut == Cut::by_rows || (cut == Cut::either && parts.front().shape[1] == expected[1]);
        return concatenate(std::move(parts), by_rows ? 0 : 1);
    }

    /// Every extent fits, so that sums over the parts cannot overflow.
    void check_part(const StoredTensor& part, const std::string& name, const Shape& expected) const {
        bool fits = part.shape.size() == expected.size();
        for (std::size_t i = 0; fits && i < expected.size(); ++i) {
            fits = part.shape[i] <= expected[i];
        }
        if (!fits) {
            refuse(label_, "tensor " + name + " has shape " + shape_text(part.shape) +
                               " in a shard but the description asks for " + shape_text(expected));
        }
    }

    void check_equal(const std::vector<StoredTensor>& parts, const std::string& name) const {
        const Tensor first = parts.front().load();
        for (const StoredTensor& part : parts) {
            const Tensor other = part.load();
            if (other.dtype != first.dtype || other.shape != first.shape || other.bytes != first.bytes) {
                refuse(label_, "tensor " + name + " differs between shards, which must hold it alike");
            }
        }
    }

    std::vector<StoredTensorMap> shards_;
    Layout layout_;
    std::string label_;
};

/// Rows of the output projection in all shards together, for a params.json without a vocabulary size.
int count_vocab(const std::vector<StoredTensorMap>& shards, const std::string& label) {
    std::int64_t rows = 0;
    for (const StoredTensorMap& shard : shards) {
        const auto found = shard.find(kOutputRow.meta);
        if (found == shard.end() || found->second.shape.size() != 2 || found->second.shape[0] > kMostUnits) {
            refuse(label, std::string("tensor ") + kOutputRow.meta + " is missing or not a matrix of a vocabulary");
        }
        rows += found->second.shape[0];
    }
    return static_cast<int>(rows);
}

StoredTensor interleave(StoredTensor half_split, int head_dim) {
    return take_rows(std::move(half_split), [size = static_cast<std::size_t>(head_dim)](std::size_t row) {
        return half_split_row(row, size);
    });
}

}  // namespace

std::vector<std::pair<std::string, Shape>> decoder_tensors(const DecoderConfig& config) {
    std::vector<std::pair<std::string, Shape>> tensors;
    for (const Place& place : places(config)) {
        tensors.emplace_back(place.meta_name(), shape_of(*place.row, config));
    }
    return tensors;
}

DecoderWeights meta_decoder(const json& params, const std::vector<StoredTensorMap>& shards, const std::string& label) {
    DecoderWeights weights{parse_meta_params(params, label), {}, RotaryOrder::interleaved};
    if (weights.config.vocab == 0) {
        weights.config.vocab = count_vocab(shards, label);
    }
    Assembly assembly(shards, Layout::meta, label);
    weights.tensors = assembly.take_all(weights.config);
    assembly.finish({"rope.freqs"});
    return weights;
}

DecoderWeights hugging_face_decoder(const json& config, StoredTensorMap tensors, const std::string& label) {
    DecoderWeights weights{parse_llama_config(config, label), {}, RotaryOrder::half_split};
    Assembly assembly({std::move(tensors)}, Layout::hugging_face, label);
    weights.tensors = assembly.take_all(weights.config);
    std::set<std::string> ignorable;
    for (int layer = 0; layer < weights.config.layers; ++layer) {
        ignorable.insert(layer_prefix(Layout::hugging_face, layer) + "self_attn.rotary_emb.inv_freq");
    }
    if (weights.config.tied_output) {
        ignorable.insert(kOutputRow.hugging_face);
    }
    assembly.finish(ignorable);
    for (int layer = 0; layer < weights.config.layers; ++layer) {
        for (const TensorRow& row : {kQueryRow, kKeyRow}) {
            StoredTensor& tensor = weights.tensors.at(layer_prefix(Layout::meta, layer) + row.meta);
            tensor = interleave(std::move(tensor), weights.config.head_dim);
        }
    }
    return weights;
}

DecoderWeights gguf_decoder(const json& metadata, StoredTensorMap tensors, const std::string& label) {
    DecoderWeights weights{parse_gguf_metadata(metadata, label), {}, RotaryOrder::interleaved};
    weights.config.tied_output = !tensors.contains(kOutputRow.gguf);
    Assembly assembly({std::move(tensors)}, Layout::gguf, label);
    weights.tensors = assembly.take_all(weights.config);
    assembly.finish({});
    return weights;
}

}  // namespace ladle
