// Parts of tokenizer.json and tokenizer_config.json.
#include "tokenizer_files.hpp"

#include <array>
#include <limits>

#include "ladle/core/json_file.hpp"
#include "ladle/text/token_table.hpp"

namespace ladle {
namespace {

using nlohmann::json;

/// Every place of a text is compared with all of them.
constexpr std::size_t kMostAdded = 4096;

std::int64_t whole_id(const json& value, const std::string& text, const std::string& source) {
    if (!value.is_number_integer() || value < 0 || value > std::numeric_limits<std::int32_t>::max()) {
        refuse_tokenizer(source, fmt::format("the id of '{}' is {}", text, shown(value)));
    }
    return value.get<std::int64_t>();
}

struct KnownRegex {
    SplitPattern pattern;
    const char* text;
};
constexpr std::array<KnownRegex, 2> kKnownRegexes = {
    {{SplitPattern::gpt2, R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
     {SplitPattern::llama3,
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|)"
      R"(\s+(?!\S)|\s+)"}}};

[[noreturn]] void refuse_splitter(const json& splitter, const std::string& source) {
    refuse_tokenizer(source, fmt::format("ladle does not know the pre_tokenizer {}", shown(splitter)),
                     "choose a model that cuts words as GPT-2, LLaMA 3 or SmolLM2 do");
}

/// The first of two steps, of which the second is ByteLevel.
SplitPattern read_first_step(const json& step, const json& splitter, const std::string& source) {
    const std::string type = optional_field<std::string>(step, "type", source).value_or("none");
    if (type == "Digits" && optional_field<bool>(step, "individual_digits", source).value_or(false)) {
        return SplitPattern::smollm;
    }
    const json pattern = step.value("pattern", json());
    const json regex = pattern.is_object() ? pattern.value("Regex", json()) : json();
    const bool isolated = type == "Split" && step.value("behavior", json()) == "Isolated" &&
                          !optional_field<bool>(step, "invert", source).value_or(false);
    for (const KnownRegex& known : kKnownRegexes) {
        if (isolated && regex == known.text) {
            return known.pattern;
        }
    }
    refuse_splitter(splitter, source);
}

/// ByteLevel alone with GPT-2's pattern; or a known pattern, and then ByteLevel for the byte alphabet.
void read_splitter(const json& splitter, const std::string& source, ByteBpeOptions& options) {
    const bool sequence = optional_field<std::string>(splitter, "type", source).value_or("none") == "Sequence";
    const json steps =
        sequence ? field(splitter, "pretokenizers", json::value_t::array, source) : json::array({splitter});
    if (steps.size() != (sequence ? 2 : 1) || !steps.front().is_object() || !steps.back().is_object()) {
        refuse_splitter(splitter, source);
    }
    const json& level = steps.back();
    expect_type(level, "pre_tokenizer", "ByteLevel", source);
    options.pattern = sequence ? read_first_step(steps.front(), splitter, source) : SplitPattern::gpt2;
    options.add_prefix_space = optional_field<bool>(level, "add_prefix_space", source).value_or(true);
    const bool has_pattern = optional_field<bool>(level, "use_regex", source).value_or(true);
    const bool needs_pattern = !sequence || options.pattern == SplitPattern::smollm;
    if (has_pattern != needs_pattern || (sequence && options.add_prefix_space)) {
        refuse_splitter(splitter, source);
    }
}

}  // namespace

void refuse_tokenizer(const std::string& source, const std::string& why, const std::string& fix) {
    throw DataError("cannot use the tokenizer " + source, why, fix);
}

void refuse_sentence_piece(const std::string& source, const std::string& sign) {
    refuse_tokenizer(source, sign + ": a SentencePiece tokenizer, as LLaMA 2's, which ladle does not read",
                     "choose a model of the LLaMA 3 family or SmolLM2");
}

std::string shown(const json& value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

const json& field(const json& object, const char* name, json::value_t type, const std::string& source) {
    const auto found = object.find(name);
    if (found == object.end() || found->type() != type) {
        refuse_tokenizer(source,
                         fmt::format("\"{}\" is missing or of another type than {}", name, json(type).type_name()));
    }
    return *found;
}

void expect_type(const json& part, const char* part_name, const char* type, const std::string& source) {
    const std::string found = optional_field<std::string>(part, "type", source).value_or("none");
    if (found != type) {
        refuse_tokenizer(source, fmt::format("{} is of type {}; ladle knows {} here", part_name, found, type),
                         "choose a model whose tokenizer is BERT's WordPiece, or RoBERTa's or LLaMA's byte-level BPE");
    }
}

TokenEntries entries_of(const json& vocabulary, const std::string& source) {
    TokenEntries entries;
    for (const auto& [text, id] : vocabulary.items()) {
        entries.emplace_back(text, whole_id(id, text, source));
    }
    return entries;
}

json optional_json(const std::filesystem::path& path) {
    return std::filesystem::exists(path) ? read_json_file(path.string()) : json::object();
}

void read_special_name(const json& config, const char* name, const std::string& source, std::string& target) {
    const auto found = config.find(name);
    if (found == config.end() || found->is_null()) {
        return;
    }
    const json& text = found->is_object() ? field(*found, "content", json::value_t::string, source) : *found;
    if (!text.is_string()) {
        refuse_tokenizer(source, fmt::format("\"{}\" is {}", name, shown(*found)));
    }
    target = text.get<std::string>();
    if (target.empty()) {
        refuse_tokenizer(source, fmt::format("\"{}\" is empty", name));
    }
}

void check_added_count(std::size_t count, const std::string& source) {
    if (count > kMostAdded) {
        refuse_tokenizer(source, fmt::format("it has {} added tokens; ladle takes at most {}", count, kMostAdded));
    }
}

std::vector<AddedToken> read_added(const json& file, const std::string& source, TokenEntries& entries) {
    std::vector<AddedToken> added;
    const TokenTable known = [&entries] {
        TokenTable table(entries.size());
        for (const auto& [text, id] : entries) {
            table.insert(text, static_cast<std::int32_t>(id));
        }
        return table;
    }();
    const json& items = field(file, "added_tokens", json::value_t::array, source);
    check_added_count(items.size(), source);
    for (const json& item : items) {
        AddedToken token;
        token.text = field(item, "content", json::value_t::string, source).get<std::string>();
        token.id = static_cast<std::int32_t>(whole_id(item.value("id", json()), token.text, source));
        token.strips_left = optional_field<bool>(item, "lstrip", source).value_or(false);
        token.strips_right = optional_field<bool>(item, "rstrip", source).value_or(false);
        token.special = optional_field<bool>(item, "special", source).value_or(false);
        if (token.text.empty()) {
            refuse_tokenizer(source, fmt::format("the added token of id {} is empty", token.id));
        }
        if (optional_field<bool>(item, "single_word", source).value_or(false)) {
            refuse_tokenizer(
                source,
                fmt::format("the added token '{}' asks for whole words only, which ladle does not offer", token.text));
        }
        const std::int32_t model_id = known.find(token.text);
        if (model_id >= 0 && model_id != token.id) {
            refuse_tokenizer(source, fmt::format("'{}' has id {} in the vocabulary but {} among the added tokens",
                                                 token.text, model_id, token.id));
        }
        if (model_id < 0) {
            entries.emplace_back(token.text, token.id);
        }
        added.push_back(std::move(token));
    }
    return added;
}

std::pair<std::string, std::string> read_merge(const json& item, const std::string& source) {
    if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
        return {item[0].get<std::string>(), item[1].get<std::string>()};
    }
    const std::string text = item.is_string() ? item.get<std::string>() : "";
    const std::size_t space = text.find(' ');
    if (space == 0 || space == std::string::npos || space + 1 == text.size() ||
        text.find(' ', space + 1) != std::string::npos) {
        refuse_tokenizer(source, fmt::format("the merge {} is not a pair of tokens", shown(item)));
    }
    return {text.substr(0, space), text.substr(space + 1)};
}

void read_byte_bpe_file(const json& file, Vocabulary& vocabulary, TokenEntries& entries, ByteBpe::Merges& merges,
                        ByteBpeOptions& options) {
    const std::string& source = vocabulary.source;
    const json& model = field(file, "model", json::value_t::object, source);
    if (optional_field<bool>(model, "byte_fallback", source).value_or(false)) {
        refuse_sentence_piece(source, "it asks for byte_fallback");
    }
    const json& splitter = field(file, "pre_tokenizer", json::value_t::object, source);
    expect_type(model, "model", "BPE", source);
    read_splitter(splitter, source, options);
    const bool plain = file.value("normalizer", json()).is_null() && model.value("dropout", json()).is_null() &&
                       optional_field<std::string>(model, "continuing_subword_prefix", source).value_or("").empty() &&
                       optional_field<std::string>(model, "end_of_word_suffix", source).value_or("").empty() &&
                       !optional_field<bool>(model, "fuse_unk", source).value_or(false);
    if (!plain) {
        refuse_tokenizer(
            source,
            "it asks for a normalizer, dropout, affixes or joined unknown tokens, which ladle does not offer with "
            "byte-level BPE");
    }
    options.ignore_merges = optional_field<bool>(model, "ignore_merges", source).value_or(false);
    options.unknown_bytes = !model.value("unk_token", json()).is_null();
    read_special_name(model, "unk_token", source, vocabulary.special.unk);
    entries = entries_of(field(model, "vocab", json::value_t::object, source), source);
    for (const json& item : field(model, "merges", json::value_t::array, source)) {
        merges.push_back(read_merge(item, source));
    }
    vocabulary.added = read_added(file, source, entries);
}

}  // namespace ladle
