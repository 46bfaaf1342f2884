// Reads the tokenizer files of a Hugging Face model directory into a Vocabulary and its options.
#include <fmt/format.h>

#include <filesystem>
#include <limits>
#include <optional>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/read_file.hpp"
#include "ladle/core/utf8.hpp"
#include "ladle/text/byte_bpe.hpp"
#include "ladle/text/wordpiece.hpp"

namespace ladle {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Entries = std::vector<std::pair<std::string, std::int64_t>>;

constexpr std::size_t kMostBytes = std::size_t{64} << 20U;
/// Every place of a text is compared with all of them.
constexpr std::size_t kMostAdded = 4096;

[[noreturn]] void refuse(const std::string& source, const std::string& why,
                         const std::string& fix = "take the tokenizer files that were published with the model") {
    throw DataError("cannot use the tokenizer " + source, why, fix);
}

/// The member as T, or nothing if it is absent or null; another type is an error naming the member.
template <typename T>
std::optional<T> optional_field(const json& object, const char* name, const std::string& source) {
    const auto found = object.find(name);
    if (found == object.end() || found->is_null()) {
        return std::nullopt;
    }
    try {
        return found->get<T>();
    } catch (const json::exception&) {
        refuse(source, fmt::format("\"{}\" is {}", name, found->dump()));
    }
}

/// The member, which must be there and of the given type.
const json& field(const json& object, const char* name, json::value_t type, const std::string& source) {
    const auto found = object.find(name);
    if (found == object.end() || found->type() != type) {
        refuse(source, fmt::format("\"{}\" is missing or of another type than {}", name, json(type).type_name()));
    }
    return *found;
}

void expect_type(const json& part, const char* part_name, const char* type, const std::string& source) {
    const std::string found = optional_field<std::string>(part, "type", source).value_or("none");
    if (found != type) {
        refuse(source, fmt::format("{} is of type {}; ladle knows {} here", part_name, found, type),
               "choose a model whose tokenizer is BERT's WordPiece or RoBERTa's byte-level BPE");
    }
}

std::int64_t whole_id(const json& value, const std::string& text, const std::string& source) {
    if (!value.is_number_integer() || value < 0 || value > std::numeric_limits<std::int32_t>::max()) {
        refuse(source, fmt::format("the id of '{}' is {}", text, value.dump()));
    }
    return value.get<std::int64_t>();
}

Entries entries_of(const json& vocabulary, const std::string& source) {
    Entries entries;
    for (const auto& [text, id] : vocabulary.items()) {
        entries.emplace_back(text, whole_id(id, text, source));
    }
    return entries;
}

std::vector<std::string> lines_of(const std::string& path) {
    const std::string text = read_file(path, kMostBytes);
    if (const std::size_t wrong = find_invalid_utf8(text); wrong != std::string::npos) {
        refuse(path, fmt::format("byte {} is not UTF-8", wrong));
    }
    std::vector<std::string> lines;
    std::size_t begin = 0;
    while (begin < text.size()) {
        std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::size_t next = end + 1;
        if (end > begin && text[end - 1] == '\r') {
            --end;
        }
        lines.push_back(text.substr(begin, end - begin));
        begin = next;
    }
    return lines;
}

/// A file of the directory, or an empty object if it is not there.
json optional_json(const fs::path& path) {
    return fs::exists(path) ? read_json_file(path.string()) : json::object();
}

/// Name of a special token in tokenizer_config.json: a text, or an object with "content".
void read_special_name(const json& config, const char* name, const std::string& source, std::string& target) {
    const auto found = config.find(name);
    if (found == config.end() || found->is_null()) {
        return;
    }
    const json& text = found->is_object() ? field(*found, "content", json::value_t::string, source) : *found;
    if (!text.is_string()) {
        refuse(source, fmt::format("\"{}\" is {}", name, found->dump()));
    }
    target = text.get<std::string>();
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
std::vector<AddedToken> added_from_names(const SpecialNames& names, const std::string& family, const Entries& entries) {
    std::vector<AddedToken> added;
    for (const auto& [text, id] : entries) {
        if (text == names.cls || text == names.sep || text == names.pad || text == names.unk || text == names.mask) {
            added.push_back({text, static_cast<std::int32_t>(id), family == "roberta" && text == names.mask, false});
        }
    }
    return added;
}

/// Added tokens of tokenizer.json; those that are not in the model's vocabulary are appended to the entries.
std::vector<AddedToken> read_added(const json& file, const std::string& source, Entries& entries) {
    std::vector<AddedToken> added;
    const TokenTable known = [&entries] {
        TokenTable table(entries.size());
        for (const auto& [text, id] : entries) {
            table.insert(text, static_cast<std::int32_t>(id));
        }
        return table;
    }();
    const json& items = field(file, "added_tokens", json::value_t::array, source);
    if (items.size() > kMostAdded) {
        refuse(source, fmt::format("it has {} added tokens; ladle takes at most {}", items.size(), kMostAdded));
    }
    for (const json& item : items) {
        AddedToken token;
        token.text = field(item, "content", json::value_t::string, source).get<std::string>();
        token.id = static_cast<std::int32_t>(whole_id(item.value("id", json()), token.text, source));
        token.strips_left = optional_field<bool>(item, "lstrip", source).value_or(false);
        token.strips_right = optional_field<bool>(item, "rstrip", source).value_or(false);
        if (token.text.empty()) {
            refuse(source, fmt::format("the added token of id {} is empty", token.id));
        }
        if (optional_field<bool>(item, "single_word", source).value_or(false)) {
            refuse(source, fmt::format("the added token '{}' asks for whole words only, which ladle does not offer",
                                       token.text));
        }
        const std::int32_t model_id = known.find(token.text);
        if (model_id >= 0 && model_id != token.id) {
            refuse(source, fmt::format("'{}' has id {} in the vocabulary but {} among the added tokens", token.text,
                                       model_id, token.id));
        }
        if (model_id < 0) {
            entries.emplace_back(token.text, token.id);
        }
        added.push_back(std::move(token));
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
        refuse(source, fmt::format("max_input_chars_per_word is {}, not a whole number from 1 to 1000", found->dump()));
    }
    return found->get<int>();
}

/// Lower-casing as the directory's files state it; both may, and must then agree.
bool agreed_lower_case(std::optional<bool> from_config, std::optional<bool> from_file, const std::string& directory) {
    if (from_config && from_file && *from_config != *from_file) {
        refuse(directory,
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
    Entries entries;
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
            refuse(vocabulary.source, "the normalizer does not clean texts, which ladle always does");
        }
        options.lower_case = agreed_lower_case(
            config_lower, optional_field<bool>(normalizer, "lowercase", vocabulary.source), directory.string());
        options.strip_accents =
            optional_field<bool>(normalizer, "strip_accents", vocabulary.source).value_or(options.lower_case);
        options.split_cjk = optional_field<bool>(normalizer, "handle_chinese_chars", vocabulary.source).value_or(true);
        options.continuation =
            optional_field<std::string>(model, "continuing_subword_prefix", vocabulary.source).value_or("##");
        options.max_word_chars = word_limit(model, vocabulary.source);
        vocabulary.special.unk =
            optional_field<std::string>(model, "unk_token", vocabulary.source).value_or(vocabulary.special.unk);
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

/// One merge: "left right", or a list of two texts.
std::pair<std::string, std::string> read_merge(const json& item, const std::string& source) {
    if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
        return {item[0].get<std::string>(), item[1].get<std::string>()};
    }
    const std::string text = item.is_string() ? item.get<std::string>() : "";
    const std::size_t space = text.find(' ');
    if (space == 0 || space == std::string::npos || space + 1 == text.size() ||
        text.find(' ', space + 1) != std::string::npos) {
        refuse(source, fmt::format("the merge {} is not a pair of tokens", item.dump()));
    }
    return {text.substr(0, space), text.substr(space + 1)};
}

void read_byte_bpe_file(const json& file, Vocabulary& vocabulary, Entries& entries, ByteBpe::Merges& merges,
                        ByteBpeOptions& options) {
    const std::string& source = vocabulary.source;
    const json& model = field(file, "model", json::value_t::object, source);
    const json& splitter = field(file, "pre_tokenizer", json::value_t::object, source);
    expect_type(model, "model", "BPE", source);
    expect_type(splitter, "pre_tokenizer", "ByteLevel", source);
    const bool plain = file.value("normalizer", json()).is_null() && model.value("dropout", json()).is_null() &&
                       optional_field<std::string>(model, "continuing_subword_prefix", source).value_or("").empty() &&
                       optional_field<std::string>(model, "end_of_word_suffix", source).value_or("").empty() &&
                       optional_field<bool>(splitter, "use_regex", source).value_or(true) &&
                       !optional_field<bool>(model, "fuse_unk", source).value_or(false);
    if (!plain) {
        refuse(source,
               "it asks for a normalizer, dropout, affixes, joined unknown tokens or no word pattern, which ladle "
               "does not offer with byte-level BPE");
    }
    options.add_prefix_space = optional_field<bool>(splitter, "add_prefix_space", source).value_or(true);
    options.ignore_merges = optional_field<bool>(model, "ignore_merges", source).value_or(false);
    if (const auto unk = optional_field<std::string>(model, "unk_token", source)) {
        options.unknown_bytes = true;
        vocabulary.special.unk = *unk;
    }
    entries = entries_of(field(model, "vocab", json::value_t::object, source), source);
    for (const json& item : field(model, "merges", json::value_t::array, source)) {
        merges.push_back(read_merge(item, source));
    }
    vocabulary.added = read_added(file, source, entries);
}

std::unique_ptr<Tokenizer> load_byte_bpe(const fs::path& directory, const json& config) {
    const std::string config_source = (directory / "tokenizer_config.json").string();
    const fs::path file_path = directory / "tokenizer.json";
    ByteBpeOptions options;
    ByteBpe::Merges merges;
    Vocabulary vocabulary;
    Entries entries;
    vocabulary.special = special_names("roberta", config, config_source);
    if (fs::exists(file_path)) {
        vocabulary.source = file_path.string();
        read_byte_bpe_file(read_json_file(vocabulary.source), vocabulary, entries, merges, options);
    } else {
        vocabulary.source = (directory / "vocab.json").string();
        options.add_prefix_space = optional_field<bool>(config, "add_prefix_space", config_source).value_or(false);
        const json vocabulary_file = read_json_file(vocabulary.source);
        if (!vocabulary_file.is_object()) {
            refuse(vocabulary.source, "it is not a JSON object of tokens and ids");
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
    refuse(directory, fmt::format("config.json has model_type {}; ladle knows bert and roberta", model_type),
           "choose a BERT or RoBERTa model directory");
}

}  // namespace ladle
