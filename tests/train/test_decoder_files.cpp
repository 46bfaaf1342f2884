// Which layout a path has.
#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "io/names.hpp"
#include "io/scratch.hpp"
#include "ladle/core/digest.hpp"
#include "ladle/io/meta_directory.hpp"
#include "ladle/io/safetensors.hpp"
#include "ladle/train/decoder_files.hpp"
#include "support/fixtures.hpp"
#include "support/gguf_bytes.hpp"
#include "support/tiny_decoder.hpp"

using namespace ladle;

namespace {

/// A decoder of one layer, width 2 and vocabulary 1, in float32.
std::string small_gguf() {
    using namespace gguf_bytes;
    const auto number = [](const char* key, std::uint32_t value) { return pair(key, kUint32, raw(value)); };
    File file;
    file.pairs = {pair("general.architecture", kString, text("llama")),
                  number("llama.embedding_length", 2),
                  number("llama.block_count", 1),
                  number("llama.attention.head_count", 1),
                  number("llama.feed_forward_length", 2),
                  number("llama.vocab_size", 1),
                  number("llama.context_length", 8),
                  pair("llama.attention.layer_norm_rms_epsilon", kFloat32, raw(1e-5F))};
    std::uint64_t offset = 0;
    const auto add = [&](const std::string& name, const std::vector<std::uint64_t>& extents) {
        file.tensors.push_back(tensor(name, extents, 0, offset));
        offset += 32;
        file.data += four_floats();
    };
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_down", "ffn_up"}) {
        add(std::string("blk.0.") + name + ".weight", {2, 2});
    }
    for (const char* name : {"blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"}) {
        add(std::string(name) + ".weight", {2});
    }
    add("token_embd.weight", {2, 1});
    return file.bytes();
}

/// The tiny Meta model as Hugging Face would store it, but for the order of rows.
void write_hugging_face(const Scratch& scratch, const DecoderWeights& meta) {
    write_safetensors(scratch.path("model.safetensors"),
                      test::hugging_face_tensors(meta.config, load_tensors(meta.tensors)), {});
    spill(scratch.path("config.json"),
          R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,)"
          R"( "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 128, "rms_norm_eps": 1e-5,)"
          R"( "max_position_embeddings": 64})");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(decoder_files)

BOOST_AUTO_TEST_CASE(every_layout_is_found) {
    const DecoderWeights meta = open_decoder(test::fixtures_root() + "/moa/meta_tiny");
    BOOST_TEST(meta.config.vocab == 128);
    BOOST_TEST(open_decoder_tokenizer(test::fixtures_root() + "/moa/meta_tiny")->facts().type == "rank_bpe");
    BOOST_TEST(open_decoder_files(test::fixtures_root() + "/moa/meta_tiny").digest ==
               open_meta_directory(test::fixtures_root() + "/moa/meta_tiny").digest);
    const Scratch scratch;
    write_hugging_face(scratch, meta);
    const DecoderWeights hugging_face = open_decoder(scratch.directory());
    BOOST_TEST(hugging_face.config.max_positions == 64);
    BOOST_TEST((hugging_face.stored_order == RotaryOrder::half_split));
    BOOST_TEST((hugging_face.tensors.at("norm.weight").dtype == DType::bf16));
    BOOST_CHECK_EXCEPTION(open_decoder_tokenizer(scratch.directory()), DataError, names("no bos_token"));
    BOOST_TEST(open_decoder_files(scratch.directory()).files ==
               "config.json = " + file_digest(scratch.path("config.json")) +
                   "\nmodel.safetensors = " + file_digest(scratch.path("model.safetensors")) + "\n");
    spill(scratch.path("small.gguf"), small_gguf());
    const DecoderWeights gguf = open_decoder(scratch.path("small.gguf"));
    BOOST_TEST(gguf.config.tied_output);
    BOOST_TEST(gguf.tensors.size() == 11U);
    const DecoderFiles gguf_files = open_decoder_files(scratch.path("small.gguf"));
    BOOST_TEST(gguf_files.weights.tensors.size() == 11U);
    BOOST_TEST(gguf_files.digest == file_digest(scratch.path("small.gguf")));
    BOOST_TEST(gguf_files.files == "small.gguf = " + gguf_files.digest + "\n");
    BOOST_CHECK_EXCEPTION(open_decoder_tokenizer(scratch.path("small.gguf")), DataError, names("tokenizer.ggml.model"));
}

BOOST_AUTO_TEST_CASE(a_description_suffices_for_shapes_where_there_are_no_weights) {
    const std::string meta = test::fixtures_root() + "/moa/meta_tiny";
    BOOST_TEST(!open_decoder_files(meta, true).weights.tensors.empty());
    const Scratch scratch;
    std::filesystem::copy_file(meta + "/params.json", scratch.path("params.json"));
    const DecoderFiles shapes = open_decoder_files(scratch.directory(), true);
    BOOST_TEST(shapes.weights.tensors.empty());
    BOOST_TEST(shapes.weights.config.vocab == 128);
    BOOST_TEST(shapes.digest.empty());
    BOOST_TEST(!has_decoder_tokenizer(scratch.directory()));
    BOOST_CHECK_EXCEPTION(open_decoder_files(scratch.directory()), DataError, names("consolidated.00.pth"));
    spill(scratch.path("tokenizer.model"), "");
    BOOST_TEST(has_decoder_tokenizer(scratch.directory()));
    BOOST_TEST(open_decoder_files(scratch.directory(), true).weights.tensors.empty());
    // A part of the weights is no description.
    spill(scratch.path("consolidated.01.pth"), "");
    BOOST_CHECK_EXCEPTION(open_decoder_files(scratch.directory(), true), DataError, names("consolidated.00.pth"));
}

BOOST_AUTO_TEST_CASE(a_description_in_the_layout_of_hugging_face_suffices_as_well) {
    const Scratch scratch;
    write_hugging_face(scratch, open_decoder(test::fixtures_root() + "/moa/meta_tiny"));
    std::filesystem::remove(scratch.path("model.safetensors"));
    const DecoderFiles shapes = open_decoder_files(scratch.directory(), true);
    BOOST_TEST(shapes.weights.tensors.empty());
    BOOST_TEST(shapes.weights.config.max_positions == 64);
    BOOST_TEST(!has_decoder_tokenizer(scratch.directory()));
    BOOST_CHECK_EXCEPTION(open_decoder_files(scratch.directory()), DataError, names("neither model.safetensors"));
    spill(scratch.path("model-00001-of-00002.safetensors"), "");
    BOOST_CHECK_EXCEPTION(open_decoder_files(scratch.directory(), true), DataError, names("neither model.safetensors"));
}

BOOST_AUTO_TEST_CASE(a_description_without_weights_states_the_vocabulary) {
    const Scratch scratch;
    std::string params = slurp(test::fixtures_root() + "/moa/meta_tiny/params.json");
    params.replace(params.find("128}"), 3, "-1");
    spill(scratch.path("params.json"), params);
    BOOST_CHECK_EXCEPTION(open_decoder_files(scratch.directory(), true), DataError, names("no vocab_size"));
}

BOOST_AUTO_TEST_CASE(other_paths_are_refused) {
    const Scratch scratch;
    BOOST_CHECK_EXCEPTION(open_decoder(scratch.directory()), DataError, names("neither"));
    BOOST_CHECK_EXCEPTION(open_decoder(scratch.path("absent.gguf")), DataError, names("absent.gguf"));
    BOOST_CHECK_EXCEPTION(open_decoder_tokenizer(scratch.directory()), DataError, names("neither"));
}

BOOST_AUTO_TEST_SUITE_END()
