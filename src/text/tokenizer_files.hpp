// What the readers of tokenizer files share. Internal to src/text.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ladle/core/error.hpp"
#include "ladle/text/byte_bpe.hpp"
#include "ladle/text/vocabulary.hpp"

namespace ladle {

/// Token texts and their ids, in the order of a file.
using TokenEntries = std::vector<std::pair<std::string, std::int64_t>>;

/// No tokenizer file is larger.
inline constexpr std::size_t kMostTokenizerBytes = std::size_t{64} << 20U;

[[noreturn]] void refuse_tokenizer(
    const std::string& source, const std::string& why,
    const std::string& fix = "take the tokenizer files that were published with the model");

/// Says that a SentencePiece tokenizer, as of LLaMA 2, is not read; `sign` is what shows that it is one.
[[noreturn]] void refuse_sentence_piece(const std::string& source, const std::string& sign);

/// A value as it may be shown, whatever its bytes.
std::string shown(const nlohmann::json& value);

/// The member as T, or nothing if it is absent or null; another type is an error naming the member.
template <typename T>
std::optional<T> optional_field(const nlohmann::json& object, const char* name, const std::string& source) {
    const auto found = object.find(name);
    if (found == object.end() || found->is_null()) {
        return std::nullopt;
    }
    try {
        return found->get<T>();
    } catch (const nlohmann::json::exception&) {
        refuse_tokenizer(source, fmt::format("\"{}\" is {}", name, shown(*found)));
    }
}

/// The member, which must be there and of the given type.
const nlohmann::json& field(const nlohmann::json& object, const char* name, nlohmann::json::value_t type,
                            const std::string& source);

/// Refuses a part of a tokenizer.json whose "type" is another.
void expect_type(const nlohmann::json& part, const char* part_name, const char* type, const std::string& source);

/// The tokens of an object of texts and ids.
TokenEntries entries_of(const nlohmann::json& vocabulary, const std::string& source);

/// A JSON file of the directory, or an empty object if it is not there.
nlohmann::json optional_json(const std::filesystem::path& path);

/// Name of a special token in tokenizer_config.json or in the model of tokenizer.json: a text that is not empty, or an
/// object with such a "content"; stays as it is if absent.
void read_special_name(const nlohmann::json& config, const char* name, const std::string& source, std::string& target);

/// Added tokens of tokenizer.json; those that are not in the model's vocabulary are appended to the entries.
std::vector<AddedToken> read_added(const nlohmann::json& file, const std::string& source, TokenEntries& entries);
/// Refuses more added tokens than can be searched for.
void check_added_count(std::size_t count, const std::string& source);

/// One merge: "left right", or a list of two texts.
std::pair<std::string, std::string> read_merge(const nlohmann::json& item, const std::string& source);

/// A tokenizer.json of byte-level BPE into vocabulary.added, vocabulary.special.unk, entries, merges and options.
void read_byte_bpe_file(const nlohmann::json& file, Vocabulary& vocabulary, TokenEntries& entries,
                        ByteBpe::Merges& merges, ByteBpeOptions& options);

}  // namespace ladle
