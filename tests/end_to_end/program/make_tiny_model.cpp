// A tiny random BERT directory in Hugging Face layout for the end-to-end tests, whole or with a planted fault.
// Usage: make_tiny_model DIRECTORY KIND TEXT_FILE...; KIND is one of the words in apply_kind, or "whole".
#include <algorithm>
#include <cctype>
#include <fstream>
#include <iostream>
#include <map>
#include <set>

#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/safetensors.hpp"
#include "support/tiny_model.hpp"

using namespace ladle;

namespace {

/// Special tokens, every letter alone and as a continuation, and every word that occurs twice.
std::vector<std::string> make_vocabulary(const std::vector<std::string>& files) {
    std::map<std::string, int> words;
    std::set<char> letters;
    for (const std::string& file : files) {
        std::string word;
        for (const char c : read_file(file) + "\n") {
            const auto letter = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
            if (std::isgraph(static_cast<unsigned char>(letter)) != 0) {
                letters.insert(letter);
            }
            if (std::isalnum(static_cast<unsigned char>(letter)) != 0) {
                word += letter;
            } else if (word.size() > 1) {
                ++words[word];
                word.clear();
            } else {
                word.clear();
            }
        }
    }
    std::vector<std::string> vocabulary = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    for (const std::string prefix : {"", "##"}) {
        for (const char letter : letters) {
            vocabulary.push_back(prefix + letter);
        }
    }
    for (const auto& [word, count] : words) {
        if (count > 1) {
            vocabulary.push_back(word);
        }
    }
    return vocabulary;
}

std::string config_text(const BackboneConfig& config) {
    const auto number = [](const char* name, int value) {
        return std::string("  \"") + name + "\": " + std::to_string(value) + ",\n";
    };
    return "{\n" + number("vocab_size", config.vocab_size) + number("hidden_size", config.hidden_size) +
           number("num_hidden_layers", config.num_layers) + number("num_attention_heads", config.num_heads) +
           number("intermediate_size", config.intermediate_size) +
           number("max_position_embeddings", config.max_positions) + number("type_vocab_size", config.type_vocab_size) +
           "  \"model_type\": \"bert\",\n  \"hidden_act\": \"gelu\",\n  \"pad_token_id\": 0,\n"
           "  \"hidden_dropout_prob\": 0.1,\n  \"attention_probs_dropout_prob\": 0.1,\n  \"layer_norm_eps\": "
           "1e-12\n}\n";
}

/// Nearly uniform attention and small positions: the first token's state is then about the mean of the words, which a
/// few adapters can learn from.
void make_learnable(TensorMap& tensors) {
    for (auto& [name, tensor] : tensors) {
        const bool sharpens = name.find(".query.") != std::string::npos || name.find(".key.") != std::string::npos ||
                              name.find("position_embeddings") != std::string::npos;
        if (sharpens) {
            std::vector<float> values = tensor.to_floats();
            for (float& value : values) {
                value *= 0.05F;
            }
            tensor = Tensor::from_floats(tensor.shape, values.data());
        }
    }
}

void apply_kind(const std::string& kind, TensorMap& tensors, const BackboneConfig& config) {
    const std::string changed = "encoder.layer.1.output.dense.weight";
    if (kind == "missing") {
        tensors.erase(changed);
    } else if (kind == "surplus") {
        tensors["encoder.layer.7.output.dense.weight"] = tensors.at(changed);
    } else if (kind == "misshapen") {
        tensors[changed] = test::random_tensor({config.hidden_size, config.hidden_size}, 0, 0.0F, 0.1F);
    } else if (kind == "other_weights") {
        tensors[changed] = test::random_tensor(tensors.at(changed).shape, 12345, 0.0F, 0.1F);
    } else if (kind == "with_head") {
        tensors["classifier.weight"] = test::random_tensor({2, config.hidden_size}, 777, 0.0F, 0.4F);
        tensors["classifier.bias"] = test::random_tensor({2}, 778, 0.0F, 0.4F);
    }
}

void make_model(const std::string& directory, const std::string& kind, const std::vector<std::string>& files) {
    std::vector<std::string> vocabulary = make_vocabulary(files);
    if (kind == "other_words") {
        std::swap(vocabulary[vocabulary.size() - 1], vocabulary[vocabulary.size() - 2]);
    }
    BackboneConfig config = test::tiny_backbone("bert");
    config.hidden_size = kind == "narrow" ? 16 : 32;
    config.num_heads = 4;
    config.intermediate_size = 48;
    config.max_positions = kind == "few_positions" ? 16 : 64;
    config.vocab_size = static_cast<int>(vocabulary.size());
    TensorMap tensors = test::tiny_tensors(config);
    make_learnable(tensors);
    apply_kind(kind, tensors, config);
    make_directories(directory);
    write_file(directory + "/config.json", config_text(config));
    write_safetensors(directory + "/model.safetensors", TensorList(tensors.begin(), tensors.end()), {});
    std::string words;
    for (const std::string& word : vocabulary) {
        words += word + "\n";
    }
    write_file(directory + "/vocab.txt", words);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        make_model(argv[1], argv[2], {argv + 3, argv + argc});
        return 0;
    } catch (const Error& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}
