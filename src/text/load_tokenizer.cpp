// Reads the tokenizer files of an encoder in a Hugging Face model directory into a Vocabulary and its options.
#include "ladle/core/json_file.hpp"
#include "ladle/core/lines.hpp"
#include "ladle/core/read_file.hpp"
#include "ladle/core/utf8.hpp"
#include "ladle/text/wordpiece.hpp"
#include "tokenizer_files.hpp"

namespace ladle {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<std::string> lines_of(const std::string& path) {
    const std::string text = read_file(path, kMostTokenizerBytes);
    if (const std::size_t wrong = find_invalid_utf8(text); wrong != std::string::npos) {
        refuse_tokenizer(path, fmt::format("byte {} is not UTF-8", wrong));
    }
    Lines lines(text, path);
    std::vector<std::string> found;
    while (const auto line = lines.next()) {
        found.emplace_back(*line);
    }
    return found;
}

SpecialNames special_names(const std::string& family, const json& config, const std::string& source) {
    SpecialNames names = default_special_names(family);
    read_special_name(config, "cls_token", source, names.cls);
    read_special_name(config, "sep_token", source, names.sep);
    read_special_name(config, "pad_token", source, names.pad);
    read_special_name(config, "unk_token", source, names.unk);
    read_special_name(config, "mask_token", source, names.mask);
    return names;
}

/// The special tokens as added tokens, for directories without tokenizer.json. RoBERTa's <mask> swallows the white
/// space before it (transformers 4, RobertaTokenizerFast).
std::vector<AddedToken> added_from_names(const SpecialNames& names, const std::string& family,
                                         const TokenEntries& entries) {
    std::vector<AddedToken> added;
    for (const auto& [text, id] : entries) {
        if (text == names.cls || text == names.sep || text == names.pad || text == names.unk || text == names.mask) {
            added.push_back({text, static_cast<std::int32_t>(id), family == "roberta" && text == names.mask, false});
        }
    }
    return added;
}

/// Characters of the longest word that is cut into pieces, which takes time in proportion to its square.
int word_limit(const json& model, const std::string& source) {
    const auto found = model.find("max_input_chars_per_word");
    if (found == model.end() || found->is_null()) {
        return 100;
    }
    if (!found->is_number_integer() || *found < 1 || *found > 1000) {
        refuse_tokenizer(
            source, fmt::format("max_input_chars_per_word is {}, not a whole number from 1 to 1000", found->dump()));
    }
    return found->get<int>();
}

/// Lower-casing as the directory's files state it; both may, and must then agree.
bool agreed_lower_case(std::optional<bool> from_config, std::optional<bool> from_file, const std::string& directory) {
    if (from_config && from_file && *from_config != *from_file) {
        refuse_tokenizer(
            directory,
            fmt::format("tokenizer_config.json says do_lower_case = {}, tokenizer.json says lowercase = {}",
                        *from_config, *from_file),
            "make the two files agree");
    }
    return from_config ? *from_config : from_file.value_or(true);
}

std::unique_ptr<Tokenizer> load_word_piece(const fs::path& directory, const json& config) {
    const std::string config_source = (directory / "tokenizer_config.json").string();
    const std::optional<bool> config_lower = optional_field<bool>(config, "do_lower_case", config_source);
    const fs::path file_path = directory / "tokenizer.json";
    WordPieceOptions options;
    Vocabulary vocabulary;
    TokenEntries entries;
    vocabulary.special = special_names("bert", config, config_source);
    if (fs::exists(file_path)) {
        vocabulary.source = file_path.string();
        const json file = read_json_file(vocabulary.source);
        const json& model = field(file, "model", json::value_t::object, vocabulary.source);
        const json& normalizer = field(file, "normalizer", json::value_t::object, vocabulary.source);
        expect_type(model, "model", "WordPiece", vocabulary.source);
        expect_type(normalizer, "normalizer", "BertNormalizer", vocabulary.source);
        expect_type(field(file, "pre_tokenizer", json::value_t::object, vocabulary.source), "pre_tokenizer",
                    "BertPreTokenizer", vocabulary.source);
        if (!optional_field<bool>(normalizer, "clean_text", vocabulary.source).value_or(true)) {
            refuse_tokenizer(vocabulary.source, "the normalizer does not clean texts, which ladle always does");
        }
        options.lower_case = agreed_lower_case(
            config_lower, optional_field<bool>(normalizer, "lowercase", vocabulary.source), directory.string());
        options.strip_accents =
            optional_field<bool>(normalizer, "strip_accents", vocabulary.source).value_or(options.lower_case);
        options.split_cjk = optional_field<bool>(normalizer, "handle_chinese_chars", vocabulary.source).value_or(true);
        options.continuation =
            optional_field<std::string>(model, "continuing_subword_prefix", vocabulary.source).value_or("##");
        options.max_word_chars = word_limit(model, vocabulary.source);
        read_special_name(model, "unk_token", vocabulary.source, vocabulary.special.unk);
        entries = entries_of(field(model, "vocab", json::value_t::object, vocabulary.source), vocabulary.source);
        vocabulary.added = read_added(file, vocabulary.source, entries);
    } else {
        vocabulary.source = (directory / "vocab.txt").string();
        options.lower_case = agreed_lower_case(config_lower, std::nullopt, directory.string());
        options.strip_accents =
            optional_field<bool>(config, "strip_accents", config_source).value_or(options.lower_case);
        options.split_cjk = optional_field<bool>(config, "tokenize_chinese_chars", config_source).value_or(true);
        for (std::string& line : lines_of(vocabulary.source)) {
            entries.emplace_back(std::move(line), static_cast<std::int64_t>(entries.size()));
        }
        vocabulary.added = added_from_names(vocabulary.special, "bert", entries);
    }
    vocabulary.tokens = order_by_id(vocabulary.source, entries);
    return std::make_unique<WordPiece>(vocabulary, options);
}

std::unique_ptr<Tokenizer> load_byte_bpe(const fs::path& directory, const json& config) {
    const std::string config_source = (directory / "tokenizer_config.json").string();
    const fs::path file_path = directory / "tokenizer.json";
    ByteBpeOptions options;
    ByteBpe::Merges merges;
    Vocabulary vocabulary;
    TokenEntries entries;
    vocabulary.special = special_names("roberta", config, config_source);
    if (fs::exists(file_path)) {
        vocabulary.source = file_path.string();
        read_byte_bpe_file(read_json_file(vocabulary.source), vocabulary, entries, merges, options);
    } else {
        vocabulary.source = (directory / "vocab.json").string();
        options.add_prefix_space = optional_field<bool>(config, "add_prefix_space", config_source).value_or(false);
        const json vocabulary_file = read_json_file(vocabulary.source);
        if (!vocabulary_file.is_object()) {
            refuse_tokenizer(vocabulary.source, "it is not a JSON object of tokens and ids");
        }
        entries = entries_of(vocabulary_file, vocabulary.source);
        const std::string merges_source = (directory / "merges.txt").string();
        for (const std::string& line : lines_of(merges_source)) {
            if (!line.starts_with("#version")) {
                merges.push_back(read_merge(line, merges_source));
            }
        }
        vocabulary.added = added_from_names(vocabulary.special, "roberta", entries);
    }
    vocabulary.tokens = order_by_id(vocabulary.source, entries);
    return std::make_unique<ByteBpe>(vocabulary, merges, options);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& directory) {
    const fs::path path(directory);
    const json model = read_json_file((path / "config.json").string());
    const json config = optional_json(path / "tokenizer_config.json");
    const std::string model_type =
        optional_field<std::string>(model, "model_type", (path / "config.json").string()).value_or("none");
    if (model_type == "bert") {
        return load_word_piece(path, config);
    }
    if (model_type == "roberta") {
        return load_byte_bpe(path, config);
    }
    refuse_tokenizer(directory, fmt::format("config.json has model_type {}; ladle knows bert and roberta", model_type),
                     "choose a BERT or RoBERTa model directory");
}

}  // namespace ladle
