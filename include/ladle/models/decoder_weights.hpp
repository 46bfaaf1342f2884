// LLaMA decoders from the three layouts in which they are published: one description, one set of names, one rotary
// order. Takes what io has opened; the numbers stay in the files.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "ladle/core/tensor.hpp"
#include "ladle/models/decoder_config.hpp"

namespace ladle {

/// Which rows of a head's query and key projection a rotation pairs: 2i and 2i + 1, or i and i + head_dim / 2.
enum class RotaryOrder { interleaved, half_split };

struct DecoderWeights {
    DecoderConfig config;
    /// Empty where the shapes alone are known. Under Meta's names, each [out, in] or [in]; the types are those of the
    /// files. D dim, H heads * head_dim, K kv_heads * head_dim, F ffn, V vocab; queries and keys in interleaved order.
    ///   tok_embeddings.weight [V, D], norm.weight [D], output.weight [V, D] (absent if tied), and for each layer l
    ///   layers.{l}.attention.{wq [H, D], wk [K, D], wv [K, D], wo [D, H]}.weight,
    ///   layers.{l}.feed_forward.{w1 [F, D], w2 [D, F], w3 [F, D]}.weight, layers.{l}.{attention_norm, ffn_norm}.weight
    StoredTensorMap tensors;
    RotaryOrder stored_order = RotaryOrder::interleaved;  ///< of queries and keys in the files
};

/// Names and shapes of the tensors of DecoderWeights.
std::vector<std::pair<std::string, Shape>> decoder_tensors(const DecoderConfig& config);

/// params.json of Meta's layout. vocab is 0 where it says -1 or nothing. max_seq_len and max_batch_size are sizes of
/// the published program's buffers, not of the model, and are not used: max_positions is 0. Throws DataError for a
/// missing or impossible field and for a key that is not known. Source: MoA repository, llama/model.py (ModelArgs,
/// FeedForward, apply_scaling).
DecoderConfig parse_meta_params(const nlohmann::json& params, const std::string& label);

/// config.json of the Hugging Face layout, of transformers 4 and 5. Throws DataError for a missing or impossible field
/// and for what ladle does not compute: other model types or activations, biases, other rotary scalings than llama3.
/// Source: transformers 5.23, models/llama/configuration_llama.py, modeling_rope_utils.py.
DecoderConfig parse_llama_config(const nlohmann::json& config, const std::string& label);

/// Metadata of a GGUF file of architecture llama. tied_output is left false. Throws DataError for a missing or
/// impossible key, experts, scaled rotary frequencies and every other key under "llama." that is not known. Source:
/// ggml repository, docs/gguf.md.
DecoderConfig parse_gguf_metadata(const nlohmann::json& metadata, const std::string& label);

/// Meta's layout: one map of tensors per tensor-parallel shard. wq, wk, wv, w1, w3 and output are cut by rows, wo and
/// w2 by columns, tok_embeddings by either; norms are in all shards alike. `rope.freqs` is ignored. Throws DataError
/// naming the first tensor that is missing, surplus, misshapen or differs where it must not; so do the next two.
/// Source: llama-models repository, models/llama3 (parallel layers).
DecoderWeights meta_decoder(const nlohmann::json& params, const std::vector<StoredTensorMap>& shards,
                            const std::string& label);

/// The Hugging Face layout: rows of queries and keys are stored half-split and put into interleaved order when they are
/// read. `model.layers.{l}.self_attn.rotary_emb.inv_freq` is ignored, as is lm_head.weight beside a tied embedding.
/// Source: transformers 5.23, models/llama/convert_llama_weights_to_hf.py (the opposite direction).
DecoderWeights hugging_face_decoder(const nlohmann::json& config, StoredTensorMap tensors, const std::string& label);

/// A GGUF file: converters have put queries and keys into interleaved order. Without output.weight it is tied.
DecoderWeights gguf_decoder(const nlohmann::json& metadata, StoredTensorMap tensors, const std::string& label);

}  // namespace ladle
