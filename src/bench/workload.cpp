// Random models and samples; the same on every rank.
#include "ladle/bench/workload.hpp"

#include <fmt/format.h>

#include <charconv>
#include <numeric>
#include <sstream>

#include "ladle/core/error.hpp"
#include "ladle/core/random.hpp"
#include "ladle/io/files.hpp"
#include "random_tensors.hpp"

namespace ladle {
namespace {

constexpr std::size_t kLargestConfigBytes = std::size_t{1} << 20U;
constexpr std::size_t kLargestLengthsBytes = std::size_t{64} << 20U;

BackboneConfig named_backbone(const char* architecture, int hidden, int layers, int heads) {
    BackboneConfig config;
    config.architecture = architecture;
    config.hidden_size = hidden;
    config.num_layers = layers;
    config.num_heads = heads;
    config.intermediate_size = 4 * hidden;
    const bool roberta = config.architecture == "roberta";
    config.vocab_size = roberta ? 50265 : 30522;
    config.max_positions = roberta ? 514 : 512;
    config.type_vocab_size = roberta ? 1 : 2;
    config.pad_token_id = roberta ? 1 : 0;
    return config;
}

[[noreturn]] void refuse_lengths(const std::string& path, std::size_t line, const std::string& why) {
    throw DataError(fmt::format("cannot use the lengths in {}", path),
                    line == 0 ? why : fmt::format("line {}: {}", line, why),
                    "give a text file with one line of token counts per batch, or a prepared shard (.h5)");
}

int parse_length(const std::string& word, int longest, const std::string& path, std::size_t line) {
    int value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || end != word.data() + word.size() || value < 1 || value > longest) {
        refuse_lengths(path, line, fmt::format("\"{}\" is not a token count of 1 to {}", word, longest));
    }
    return value;
}

BenchLengths read_text_lengths(const std::string& path, int longest) {
    BenchLengths result;
    std::istringstream lines(read_file(path, kLargestLengthsBytes));
    std::size_t number = 0;
    for (std::string line; std::getline(lines, line);) {
        ++number;
        std::istringstream words(line);
        for (std::string word; words >> word;) {
            result.lengths.push_back(parse_length(word, longest, path, number));
        }
        if (result.first_line == 0) {
            result.first_line = static_cast<int>(result.lengths.size());
        }
    }
    return result;
}

BenchLengths read_shard_lengths(const std::string& path, int longest) {
    BenchLengths result;
    const Split split = read_shard(path);
    for (std::size_t sample = 0; sample < split.samples(); ++sample) {
        result.lengths.push_back(split.length(sample));
        if (split.length(sample) > longest) {
            refuse_lengths(path, 0,
                           fmt::format("sample {} has {} tokens, more than the {} positions of the model", sample,
                                       split.length(sample), longest));
        }
    }
    return result;
}

}  // namespace

BenchDimensions find_dimensions(const std::string& name_or_path) {
    if (name_or_path == "minilm") {
        return {name_or_path, named_backbone("bert", 384, 6, 12), 16};
    }
    if (name_or_path == "bert-base") {
        return {name_or_path, named_backbone("bert", 768, 12, 12), 48};
    }
    if (name_or_path == "roberta-large") {
        return {name_or_path, named_backbone("roberta", 1024, 24, 16), 16};
    }
    const std::string path = directory_exists(name_or_path) ? name_or_path + "/config.json" : name_or_path;
    if (!file_exists(path)) {
        throw ConfigError(fmt::format("unknown dimensions \"{}\"", name_or_path),
                          "they are minilm, bert-base, roberta-large, or the path of a config.json or of its directory",
                          "correct --dims");
    }
    return {name_or_path, parse_backbone_config(read_file(path, kLargestConfigBytes), name_or_path), 16};
}

Backbone random_backbone(const BenchDimensions& dimensions, std::uint64_t seed) {
    Backbone result;
    result.config = dimensions.backbone;
    result.label = dimensions.name;
    result.built_from = BuiltFrom::weights;
    const BackboneConfig& config = result.config;
    const std::int64_t hidden = config.hidden_size;
    RandomTensors random(seed, result.tensors);
    random.add("embeddings.word_embeddings.weight", {config.vocab_size, hidden});
    random.add("embeddings.position_embeddings.weight", {config.max_positions, hidden});
    random.add("embeddings.token_type_embeddings.weight", {config.type_vocab_size, hidden});
    random.add_norm("embeddings.LayerNorm", hidden);
    for (int layer = 0; layer < config.num_layers; ++layer) {
        const std::string block = fmt::format("encoder.layer.{}.", layer);
        for (const char* name : {"query", "key", "value"}) {
            random.add_linear(block + "attention.self." + name, hidden, hidden);
        }
        random.add_linear(block + "attention.output.dense", hidden, hidden);
        random.add_norm(block + "attention.output.LayerNorm", hidden);
        random.add_linear(block + "intermediate.dense", config.intermediate_size, hidden);
        random.add_linear(block + "output.dense", hidden, config.intermediate_size);
        random.add_norm(block + "output.LayerNorm", hidden);
    }
    if (find_architecture(config.architecture).pooler_head) {
        random.add_linear("pooler.dense", hidden, hidden);
    }
    return result;
}

BenchLengths read_lengths(const std::string& path, int longest) {
    BenchLengths result = path.ends_with(".h5") ? read_shard_lengths(path, longest) : read_text_lengths(path, longest);
    if (result.lengths.empty()) {
        refuse_lengths(path, 0, "it holds none");
    }
    result.label = path;
    return result;
}

Split random_samples(int vocab, const std::vector<int>& lengths, std::uint64_t seed, bool file_order) {
    std::vector<std::uint32_t> order(lengths.size());
    std::iota(order.begin(), order.end(), 0U);
    if (!file_order) {
        order = sample_order(seed, 0, lengths.size());
    }
    std::vector<int> length_of_row(lengths.size());
    for (std::size_t place = 0; place < lengths.size(); ++place) {
        length_of_row[order[place]] = lengths[place];
    }
    Split split;
    split.task = "bench";
    split.name = "train";
    split.vocab_size = vocab;
    split.offsets.push_back(0);
    Stream stream;
    stream.seed = seed;
    stream.purpose = Purpose::initial_value;
    for (std::size_t row = 0; row < lengths.size(); ++row) {
        stream.row = static_cast<std::uint32_t>(row);
        const int length = length_of_row[row];
        for (int token = 0; token < length; ++token) {
            const std::uint32_t word = random_word(stream, static_cast<std::uint32_t>(token));
            // Id 0 and the few behind it are padding and special tokens.
            const auto words = static_cast<std::uint32_t>(vocab);
            const std::uint32_t first = words > 1000 ? 999 : 2;
            split.input_ids.push_back(static_cast<std::int32_t>(first + uniform_below(word, words - first)));
        }
        split.max_length = std::max(split.max_length, length);
        split.offsets.push_back(static_cast<std::int64_t>(split.input_ids.size()));
        split.sep_pos.push_back(0);
        split.idx.push_back(static_cast<std::int32_t>(row));
    }
    return split;
}

Split random_split(const BenchDimensions& dimensions, const std::vector<int>& lengths, std::uint64_t seed,
                   bool file_order) {
    Split split = random_samples(dimensions.backbone.vocab_size, lengths, seed, file_order);
    split.model_family = dimensions.backbone.architecture;
    split.label_names = {"0", "1"};
    for (std::size_t row = 0; row < lengths.size(); ++row) {
        split.labels.push_back(static_cast<std::int32_t>(row % 2));
    }
    return split;
}

}  // namespace ladle
