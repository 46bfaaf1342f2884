// A tiny random LLaMA directory in Hugging Face layout for the end-to-end tests.
// Usage: make_tiny_decoder DIRECTORY TOKENS [POSITIONS]; TOKENS is a file of tests/fixtures/tokens with a trained
// tokenizer, and POSITIONS the longest sequence (64).
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/safetensors.hpp"
#include "support/tiny_decoder.hpp"

using namespace ladle;

namespace {

std::string config_text(const DecoderConfig& config) {
    return nlohmann::json({{"model_type", "llama"},
                           {"hidden_size", config.dim},
                           {"num_hidden_layers", config.layers},
                           {"num_attention_heads", config.heads},
                           {"num_key_value_heads", config.kv_heads},
                           {"head_dim", config.head_dim},
                           {"intermediate_size", config.ffn},
                           {"vocab_size", config.vocab},
                           {"rms_norm_eps", config.norm_eps},
                           {"rope_theta", config.rope_theta},
                           {"max_position_embeddings", config.max_positions}})
        .dump();
}

void make_decoder(const std::string& directory, const std::string& tokens, int positions) {
    const nlohmann::json tokenizer = read_json_file(tokens);
    DecoderConfig config = test::tiny_decoder();
    config.vocab = static_cast<int>(tokenizer["tokenizer"]["model"]["vocab"].size() +
                                    tokenizer["tokenizer"]["added_tokens"].size());
    config.max_positions = positions;
    make_directories(directory);
    write_file(directory + "/config.json", config_text(config));
    write_safetensors(directory + "/model.safetensors",
                      test::hugging_face_tensors(config, test::tiny_decoder_tensors(config)), {});
    write_file(directory + "/tokenizer.json", tokenizer["tokenizer"].dump());
    write_file(directory + "/tokenizer_config.json", tokenizer["config"].dump());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3 && argc != 4) {
        std::cerr << "make_tiny_decoder takes a directory, a file with a tokenizer and perhaps a number\n";
        return 2;
    }
    try {
        make_decoder(argv[1], argv[2], argc == 4 ? std::atoi(argv[3]) : 64);
        return 0;
    } catch (const Error& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}
