// LLaMA decoders from three layouts: the same numbers under the same names, whatever the files look like.
#include <boost/test/unit_test.hpp>
#include <cstring>

#include "io/names.hpp"
#include "ladle/core/stored_views.hpp"
#include "ladle/io/meta_directory.hpp"
#include "ladle/models/decoder_weights.hpp"
#include "support/fixtures.hpp"

using namespace ladle;

namespace {

const std::string kLabel = "tiny";

MetaDirectory tiny() {
    return open_meta_directory(test::fixtures_root() + "/moa/meta_tiny");
}

/// Rows or columns first .. first + count - 1 of a tensor.
StoredTensor slice(const StoredTensor& tensor, std::size_t dimension, std::size_t first, std::size_t count) {
    const Tensor whole = tensor.load();
    const auto columns = static_cast<std::size_t>(whole.shape[1]);
    const std::size_t element = dtype_bytes(whole.dtype);
    Tensor part{whole.dtype, whole.shape, {}};
    part.shape[dimension] = static_cast<std::int64_t>(count);
    const std::size_t row_begin = dimension == 0 ? first : 0;
    const std::size_t row_end = dimension == 0 ? first + count : static_cast<std::size_t>(whole.shape[0]);
    for (std::size_t row = row_begin; row < row_end; ++row) {
        const std::size_t from = row * columns + (dimension == 0 ? 0 : first);
        const auto begin = whole.bytes.begin() + static_cast<std::ptrdiff_t>(from * element);
        const std::size_t length = dimension == 0 ? columns : count;
        part.bytes.insert(part.bytes.end(), begin, begin + static_cast<std::ptrdiff_t>(length * element));
    }
    return stored_tensor(part);
}

/// The tiny model as `count` tensor-parallel ranks hold it; the embedding table is cut along `embedding_dimension`.
std::vector<StoredTensorMap> shards_of(const StoredTensorMap& whole, std::size_t count,
                                       std::size_t embedding_dimension) {
    std::vector<StoredTensorMap> shards(count);
    for (const auto& [name, tensor] : whole) {
        for (std::size_t rank = 0; rank < count; ++rank) {
            if (tensor.shape.size() == 1) {
                shards[rank].emplace(name, tensor);
                continue;
            }
            const bool by_columns = name.ends_with("wo.weight") || name.ends_with("w2.weight");
            const std::size_t dimension = name == "tok_embeddings.weight" ? embedding_dimension : by_columns ? 1 : 0;
            const std::size_t length = static_cast<std::size_t>(tensor.shape[dimension]) / count;
            shards[rank].emplace(name, slice(tensor, dimension, rank * length, length));
        }
    }
    return shards;
}

void check_same(const StoredTensorMap& read, const StoredTensorMap& expected) {
    BOOST_TEST(read.size() == expected.size());
    for (const auto& [name, tensor] : expected) {
        BOOST_TEST_REQUIRE(read.contains(name), name);
        const Tensor a = read.at(name).load();
        const Tensor b = tensor.load();
        BOOST_TEST((a.dtype == b.dtype && a.shape == b.shape && a.bytes == b.bytes), name);
    }
}

DecoderWeights read_meta(const StoredTensorMap& tensors) {
    return meta_decoder(tiny().params, {tensors}, kLabel);
}

/// The tiny model's tensors as meta_decoder gives them.
StoredTensorMap canonical() {
    return read_meta(tiny().shards[0]).tensors;
}

/// Rows of [heads, head_dim / 2, 2, D] with the two middle axes swapped, written out.
StoredTensor half_split(const StoredTensor& interleaved, std::size_t head_dim) {
    const Tensor from = interleaved.load();
    Tensor to = from;
    const std::size_t row_bytes = static_cast<std::size_t>(from.shape[1]) * dtype_bytes(from.dtype);
    for (std::size_t head = 0; head < static_cast<std::size_t>(from.shape[0]) / head_dim; ++head) {
        for (std::size_t pair = 0; pair < head_dim / 2; ++pair) {
            for (std::size_t side = 0; side < 2; ++side) {
                std::memcpy(to.bytes.data() + (head * head_dim + side * head_dim / 2 + pair) * row_bytes,
                            from.bytes.data() + (head * head_dim + 2 * pair + side) * row_bytes, row_bytes);
            }
        }
    }
    return stored_tensor(to);
}

struct Renamed {
    const char* meta;
    const char* hugging_face;
    const char* gguf;
};
constexpr Renamed kNames[] = {
    {"attention.wq", "self_attn.q_proj", "attn_q"},      {"attention.wk", "self_attn.k_proj", "attn_k"},
    {"attention.wv", "self_attn.v_proj", "attn_v"},      {"attention.wo", "self_attn.o_proj", "attn_output"},
    {"feed_forward.w1", "mlp.gate_proj", "ffn_gate"},    {"feed_forward.w2", "mlp.down_proj", "ffn_down"},
    {"feed_forward.w3", "mlp.up_proj", "ffn_up"},        {"attention_norm", "input_layernorm", "attn_norm"},
    {"ffn_norm", "post_attention_layernorm", "ffn_norm"}};

StoredTensorMap renamed(const StoredTensorMap& meta, const std::string& prefix, const char* Renamed::*field) {
    StoredTensorMap tensors;
    for (int layer = 0; layer < 2; ++layer) {
        for (const Renamed& name : kNames) {
            const std::string number = std::to_string(layer) + ".";
            tensors[prefix + number + name.*field + ".weight"] = meta.at("layers." + number + name.meta + ".weight");
        }
    }
    return tensors;
}

StoredTensorMap as_hugging_face(const StoredTensorMap& meta) {
    StoredTensorMap tensors = renamed(meta, "model.layers.", &Renamed::hugging_face);
    for (auto& [name, tensor] : tensors) {
        if (name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight")) {
            tensor = half_split(tensor, 16);
        }
    }
    tensors["model.embed_tokens.weight"] = meta.at("tok_embeddings.weight");
    tensors["model.norm.weight"] = meta.at("norm.weight");
    tensors["lm_head.weight"] = meta.at("output.weight");
    return tensors;
}

StoredTensorMap as_gguf(const StoredTensorMap& meta) {
    StoredTensorMap tensors = renamed(meta, "blk.", &Renamed::gguf);
    tensors["token_embd.weight"] = meta.at("tok_embeddings.weight");
    tensors["output_norm.weight"] = meta.at("norm.weight");
    tensors["output.weight"] = meta.at("output.weight");
    return tensors;
}

nlohmann::json hugging_face_config() {
    return {{"model_type", "llama"},    {"hidden_act", "silu"},
            {"attention_bias", false},  {"hidden_size", 64},
            {"num_hidden_layers", 2},   {"num_attention_heads", 4},
            {"num_key_value_heads", 2}, {"intermediate_size", 128},
            {"vocab_size", 128},        {"max_position_embeddings", 512},
            {"rms_norm_eps", 1e-5},     {"rope_theta", 500000.0},
            {"rope_scaling", nullptr},  {"tie_word_embeddings", false}};
}

nlohmann::json gguf_metadata() {
    return {{"general.architecture", "llama"},
            {"llama.embedding_length", 64},
            {"llama.block_count", 2},
            {"llama.attention.head_count", 4},
            {"llama.attention.head_count_kv", 2},
            {"llama.rope.dimension_count", 16},
            {"llama.rope.freq_base", 500000.0},
            {"llama.feed_forward_length", 128},
            {"llama.vocab_size", 128},
            {"llama.context_length", 512},
            {"llama.attention.layer_norm_rms_epsilon", 1e-5}};
}

void check_shape(const DecoderConfig& config) {
    BOOST_TEST(config.dim == 64);
    BOOST_TEST(config.layers == 2);
    BOOST_TEST(config.heads == 4);
    BOOST_TEST(config.kv_heads == 2);
    BOOST_TEST(config.head_dim == 16);
    BOOST_TEST(config.ffn == 128);
    BOOST_TEST(config.vocab == 128);
    BOOST_TEST(config.norm_eps == 1e-5);
    BOOST_TEST(config.rope_theta == 500000.0);
    BOOST_TEST(!config.rope_scaling.has_value());
    BOOST_TEST(!config.tied_output);
}

template <class Change>
nlohmann::json with(nlohmann::json object, Change change) {
    change(object);
    return object;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(decoder_weights)

BOOST_AUTO_TEST_CASE(meta_files_are_read_as_they_are) {
    const MetaDirectory directory = tiny();
    const DecoderWeights weights = meta_decoder(directory.params, directory.shards, kLabel);
    check_shape(weights.config);
    BOOST_TEST((weights.stored_order == RotaryOrder::interleaved));
    StoredTensorMap expected = directory.shards[0];
    BOOST_TEST(expected.erase("rope.freqs") == 1U);
    check_same(weights.tensors, expected);
    BOOST_TEST((weights.tensors.at("norm.weight").dtype == DType::bf16));
}

BOOST_AUTO_TEST_CASE(shards_are_put_together_by_rows_and_columns) {
    const StoredTensorMap whole = canonical();
    for (const std::size_t count : {2U, 4U}) {
        for (const std::size_t embedding_dimension : {0U, 1U}) {
            const auto shards = shards_of(whole, count, embedding_dimension);
            check_same(meta_decoder(tiny().params, shards, kLabel).tensors, whole);
        }
    }
}

BOOST_AUTO_TEST_CASE(shards_that_do_not_belong_together_are_refused) {
    const auto refuses = [](const std::vector<StoredTensorMap>& shards, const char* named) {
        BOOST_CHECK_EXCEPTION(meta_decoder(tiny().params, shards, kLabel), DataError, names(named));
    };
    const auto shards = shards_of(canonical(), 2, 1);
    auto other_norm = shards;
    Tensor norm = shards[1].at("norm.weight").load();
    norm.bytes[0] ^= std::byte{1};
    other_norm[1]["norm.weight"] = stored_tensor(norm);
    refuses(other_norm, "norm.weight differs between shards");
    auto missing = shards;
    missing[1].erase("layers.1.attention.wo.weight");
    refuses(missing, "layers.1.attention.wo.weight is missing");
    auto surplus = shards;
    surplus[1]["extra"] = shards[1].at("norm.weight");
    refuses(surplus, "extra is surplus");
    refuses({shards[0]}, "[128, 32] but the description asks for [128, 64]");
    auto huge = shards;
    huge[1]["output.weight"] = stored_tensor({DType::bf16, {std::int64_t{1} << 62U, 0}, {}});
    refuses(huge, "in a shard");
    auto other_type = shards;
    other_type[1]["output.weight"].dtype = DType::f16;
    refuses(other_type, "differ in more than dimension 0");
}

BOOST_AUTO_TEST_CASE(a_vocabulary_of_unstated_size_is_counted) {
    const auto shards = shards_of(canonical(), 2, 1);
    for (const char* change : {"-1", "absent"}) {
        const nlohmann::json params = with(tiny().params, [&](auto& p) {
            change[0] == '-' ? void(p["vocab_size"] = -1) : void(p.erase("vocab_size"));
        });
        BOOST_TEST(meta_decoder(params, shards, kLabel).config.vocab == 128);
    }
}

BOOST_AUTO_TEST_CASE(hugging_face_rows_are_interleaved_on_reading) {
    const StoredTensorMap expected = canonical();
    const DecoderWeights weights = hugging_face_decoder(hugging_face_config(), as_hugging_face(expected), kLabel);
    check_shape(weights.config);
    BOOST_TEST((weights.stored_order == RotaryOrder::half_split));
    check_same(weights.tensors, expected);
    // In pieces that end inside a row, too.
    const StoredTensor& query = weights.tensors.at("layers.1.attention.wq.weight");
    const std::vector<std::byte> whole = expected.at("layers.1.attention.wq.weight").load().bytes;
    for (const std::size_t first : {0U, 1U, 63U, 64U, 1000U}) {
        const std::vector<std::byte> piece = query.read(first, 200);
        BOOST_TEST((std::memcmp(piece.data(), whole.data() + 2 * first, 400) == 0));
    }
}

BOOST_AUTO_TEST_CASE(gguf_names_are_mapped) {
    const StoredTensorMap expected = canonical();
    const DecoderWeights weights = gguf_decoder(gguf_metadata(), as_gguf(expected), kLabel);
    check_shape(weights.config);
    BOOST_TEST((weights.stored_order == RotaryOrder::interleaved));
    check_same(weights.tensors, expected);
}

BOOST_AUTO_TEST_CASE(tied_outputs_have_no_tensor_of_their_own) {
    StoredTensorMap expected = canonical();
    StoredTensorMap gguf = as_gguf(expected);
    StoredTensorMap hugging_face = as_hugging_face(expected);
    const nlohmann::json tied = with(hugging_face_config(), [](auto& c) { c["tie_word_embeddings"] = true; });
    expected.erase("output.weight");
    gguf.erase("output.weight");
    const DecoderWeights from_gguf = gguf_decoder(gguf_metadata(), gguf, kLabel);
    BOOST_TEST(from_gguf.config.tied_output);
    check_same(from_gguf.tensors, expected);
    check_same(hugging_face_decoder(tied, hugging_face, kLabel).tensors, expected);
    hugging_face.erase("lm_head.weight");
    check_same(hugging_face_decoder(tied, hugging_face, kLabel).tensors, expected);
    BOOST_CHECK_EXCEPTION(hugging_face_decoder(hugging_face_config(), hugging_face, kLabel), DataError,
                          names("lm_head.weight is missing"));
}

BOOST_AUTO_TEST_CASE(surplus_tensors_are_named) {
    StoredTensorMap tensors = as_hugging_face(canonical());
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = tensors.at("model.norm.weight");
    BOOST_CHECK_NO_THROW(hugging_face_decoder(hugging_face_config(), tensors, kLabel));
    for (const char* name : {"model.layers.2.self_attn.rotary_emb.inv_freq", "adapter.rotary_emb.inv_freq"}) {
        StoredTensorMap more = tensors;
        more[name] = tensors.at("model.norm.weight");
        BOOST_CHECK_EXCEPTION(hugging_face_decoder(hugging_face_config(), more, kLabel), DataError, names(name));
    }
    StoredTensorMap meta = canonical();
    meta["adapter.rope.freqs"] = meta.at("norm.weight");
    BOOST_CHECK_EXCEPTION(read_meta(meta), DataError, names("adapter.rope.freqs is surplus"));
    tensors["model.layers.0.self_attn.q_proj.bias"] = tensors.at("model.norm.weight");
    BOOST_CHECK_EXCEPTION(hugging_face_decoder(hugging_face_config(), tensors, kLabel), DataError,
                          names("q_proj.bias is surplus"));
    StoredTensorMap gguf = as_gguf(canonical());
    gguf["rope_freqs.weight"] = gguf.at("output_norm.weight");
    BOOST_CHECK_EXCEPTION(gguf_decoder(gguf_metadata(), gguf, kLabel), DataError, names("rope_freqs.weight"));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(decoder_config)

BOOST_AUTO_TEST_CASE(the_published_feed_forward_widths_come_out) {
    // Widths of the published models: LLaMA 3 8B, 3 70B, 3.2 1B, and LLaMA 2 7B without a multiplier.
    const auto width = [](int dim, int heads, double multiplier, int multiple) {
        nlohmann::json params = {{"dim", dim},       {"n_layers", 1},
                                 {"n_heads", heads}, {"multiple_of", multiple},
                                 {"norm_eps", 1e-5}, {"rope_theta", 500000.0}};
        if (multiplier > 0) {
            params["ffn_dim_multiplier"] = multiplier;
        }
        return parse_meta_params(params, kLabel).ffn;
    };
    BOOST_TEST(width(4096, 32, 1.3, 1024) == 14336);
    BOOST_TEST(width(8192, 64, 1.3, 4096) == 28672);
    BOOST_TEST(width(2048, 32, 1.5, 256) == 8192);
    BOOST_TEST(width(4096, 32, 0, 256) == 11008);
}

BOOST_AUTO_TEST_CASE(scaled_rotary_positions_are_read_from_each_layout) {
    const auto check = [](const DecoderConfig& config, double factor) {
        BOOST_TEST_REQUIRE(config.rope_scaling.has_value());
        BOOST_TEST(config.rope_scaling->factor == factor);
        BOOST_TEST(config.rope_scaling->low_frequency_factor == 1.0);
        BOOST_TEST(config.rope_scaling->high_frequency_factor == 4.0);
        BOOST_TEST(config.rope_scaling->original_positions == 8192);
        BOOST_TEST(config.rope_theta == 500000.0);
    };
    check(parse_meta_params(with(tiny().params, [](auto& p) { p["use_scaled_rope"] = true; }), kLabel), 8.0);
    check(parse_meta_params(with(tiny().params,
                                 [](auto& p) {
                                     p["use_scaled_rope"] = true;
                                     p["rope_scaling_factor"] = 32.0;
                                 }),
                            kLabel),
          32.0);
    const nlohmann::json scaling = {{"factor", 32.0},
                                    {"low_freq_factor", 1.0},
                                    {"high_freq_factor", 4.0},
                                    {"original_max_position_embeddings", 8192}};
    for (const char* key : {"type", "rope_type"}) {
        check(parse_llama_config(with(hugging_face_config(),
                                      [&](auto& c) {
                                          c["rope_scaling"] = scaling;
                                          c["rope_scaling"][key] = "llama3";
                                      }),
                                 kLabel),
              32.0);
    }
    // As transformers 5 writes it.
    check(parse_llama_config(with(hugging_face_config(),
                                  [&](auto& c) {
                                      c.erase("rope_theta");
                                      c.erase("rope_scaling");
                                      c["rope_parameters"] = scaling;
                                      c["rope_parameters"]["rope_type"] = "llama3";
                                      c["rope_parameters"]["rope_theta"] = 500000.0;
                                  }),
                             kLabel),
          32.0);
}

BOOST_AUTO_TEST_CASE(what_is_not_computed_is_refused) {
    const auto refuses = [](const char* key, const nlohmann::json& value, const char* named) {
        const nlohmann::json config = with(hugging_face_config(), [&](auto& c) { c[key] = value; });
        BOOST_CHECK_EXCEPTION(parse_llama_config(config, kLabel), DataError, names(named));
    };
    refuses("model_type", "mistral", "model_type");
    refuses("hidden_act", "gelu", "hidden_act");
    refuses("attention_bias", true, "attention_bias");
    refuses("mlp_bias", true, "mlp_bias");
    refuses("rope_scaling", {{"type", "linear"}, {"factor", 2.0}}, "type is \"linear\"");
    refuses("rope_scaling", {{"rope_type", "llama3"}}, "has no factor");
    refuses("rope_scaling", "llama3", "rope_scaling of config.json is not a JSON object");
    refuses("rope_parameters", 1e4, "rope_parameters of config.json is not a JSON object");
    refuses("rope_parameters", {{"rope_theta", 1e4}, {"partial_rotary_factor", 0.5}}, "partial_rotary_factor");
    refuses("rope_parameters", {{"rope_type", "default"}}, "has no rope_theta");
    refuses("num_key_value_heads", 3, "not a multiple");
    refuses("num_attention_heads", 3, "not a multiple");
    refuses("head_dim", 15, "odd");
    refuses("head_dim", 1 << 24, "wider");
    refuses("hidden_size", 0, "hidden_size is 0");
    refuses("vocab_size", 1e99, "vocab_size");
    refuses("rms_norm_eps", 0, "rms_norm_eps");
    refuses("rope_theta", -1, "rope_theta");
    refuses("tie_word_embeddings", 1, "tie_word_embeddings");
    const nlohmann::json strange = with(tiny().params, [](auto& p) { p["n_experts"] = 8; });
    BOOST_CHECK_EXCEPTION(parse_meta_params(strange, kLabel), DataError, names("n_experts"));
    const nlohmann::json older = with(tiny().params, [](auto& p) { p.erase("rope_theta"); });
    BOOST_CHECK_EXCEPTION(parse_meta_params(older, kLabel), DataError, names("no rope_theta, as in LLaMA 1 and 2"));
    const nlohmann::json wide = with(tiny().params, [](auto& p) {
        p["multiple_of"] = 1 << 24;
        p["dim"] = 1 << 24;
    });
    BOOST_CHECK_EXCEPTION(parse_meta_params(wide, kLabel), DataError, names("wide"));
    BOOST_CHECK_EXCEPTION(parse_meta_params(nlohmann::json::array(), kLabel), DataError, names("not a JSON object"));
    const auto refuses_gguf = [](const char* key, const nlohmann::json& value) {
        const nlohmann::json metadata = with(gguf_metadata(), [&](auto& m) { m[key] = value; });
        BOOST_CHECK_EXCEPTION(parse_gguf_metadata(metadata, kLabel), DataError, names(key));
    };
    refuses_gguf("general.architecture", "qwen2");
    refuses_gguf("general.architecture", "\xff");
    refuses_gguf("llama.rope.scaling.type", "yarn");
    refuses_gguf("llama.expert_count", 8);
    refuses_gguf("llama.rope.dimension_count", 8);
    refuses_gguf("llama.rope.scaling.factor", 4.0);
    refuses_gguf("llama.rope.scale_linear", 4.0);
    refuses_gguf("llama.attention.sliding_window", 4096);
    refuses_gguf("llama.attention.scale", 0.5);
    refuses_gguf("llama.logit_scale", 0.5);
    BOOST_CHECK_NO_THROW(parse_gguf_metadata(with(gguf_metadata(),
                                                  [](auto& m) {
                                                      m["llama.rope.scaling.finetuned"] = true;
                                                      m["llama.expert_used_count"] = 0;
                                                      m["general.name"] = "tiny";
                                                  }),
                                             kLabel));
}

BOOST_AUTO_TEST_SUITE_END()
