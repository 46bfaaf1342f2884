// Reads tokenizer.model of LLaMA 3.
#include <algorithm>
#include <charconv>
#include <optional>

#include "ladle/core/read_file.hpp"
#include "ladle/text/decoder_tokenizer.hpp"
#include "ladle/text/rank_bpe.hpp"
#include "tokenizer_files.hpp"

namespace ladle {
namespace {

constexpr int kReserved = 251;

/// The value of a base64 digit, or -1.
int base64_value(char digit) {
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const std::size_t value = kDigits.find(digit);
    return value == std::string_view::npos ? -1 : static_cast<int>(value);
}

/// The bytes of padded base64 (RFC 4648, section 4), or nothing if it is malformed.
std::optional<std::string> decode_base64(std::string_view text) {
    if (text.empty() || text.size() % 4 != 0) {
        return std::nullopt;
    }
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
    std::string bytes;
    unsigned pending = 0;
    unsigned pending_bits = 0;
    for (const char digit : text.substr(0, text.size() - padding)) {
        const int value = base64_value(digit);
        if (value < 0) {
            return std::nullopt;
        }
        pending = (pending << 6U) | static_cast<unsigned>(value);
        pending_bits += 6;
        if (pending_bits >= 8) {
            pending_bits -= 8;
            bytes += static_cast<char>(static_cast<unsigned char>(pending >> pending_bits));
            pending &= (1U << pending_bits) - 1U;
        }
    }
    // Other bits than zero would let two texts stand for the same bytes.
    return pending == 0 ? std::optional(bytes) : std::nullopt;
}

std::optional<std::int64_t> parse_rank(std::string_view text) {
    std::int64_t rank = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), rank);
    const bool whole = failure == std::errc() && end == text.data() + text.size();
    return whole ? std::optional(rank) : std::nullopt;
}

/// A serialised ModelProto: its first piece, which begins with the piece's text. No base64 does.
bool is_sentence_piece(std::string_view content) {
    return content.size() > 2 && content[0] == '\n' && content[2] == '\n';
}

TokenEntries read_ranks(const std::string& path) {
    const std::string content = read_file(path, kMostTokenizerBytes);
    if (is_sentence_piece(content)) {
        refuse_sentence_piece(path, "it is a protocol buffer with pieces");
    }
    TokenEntries entries;
    std::string_view rest = content;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        const std::size_t space = line.find(' ');
        const auto bytes = decode_base64(line.substr(0, space));
        const auto rank = space == std::string_view::npos ? std::nullopt : parse_rank(line.substr(space + 1));
        if (!bytes || !rank) {
            refuse_tokenizer(path,
                             fmt::format("line {} is not a token in base64, a space and a rank", entries.size() + 1));
        }
        entries.emplace_back(*bytes, *rank);
    }
    return entries;
}

/// The names of LLaMA 3's special tokens, which follow the ranked ones.
std::vector<std::string> special_texts() {
    const auto reserved = [](int number) { return fmt::format("<|reserved_special_token_{}|>", number); };
    std::vector<std::string> texts = {
        "<|begin_of_text|>", "<|end_of_text|>",     reserved(0),         reserved(1), reserved(2),
        reserved(3),         "<|start_header_id|>", "<|end_header_id|>", reserved(4), "<|eot_id|>"};
    for (int number = 5; number < kReserved; ++number) {
        texts.push_back(reserved(number));
    }
    return texts;
}

}  // namespace

std::unique_ptr<const DecoderTokenizer> load_rank_tokenizer(const std::string& path) {
    Vocabulary vocabulary;
    vocabulary.source = path;
    vocabulary.tokens = order_by_id(path, read_ranks(path));
    const std::size_t ranked = vocabulary.tokens.size();
    const std::vector<std::string> special = special_texts();
    vocabulary.tokens.insert(vocabulary.tokens.end(), special.begin(), special.end());
    vocabulary.special.cls = special[0];
    vocabulary.special.sep = special[1];
    auto tokenizer = std::make_unique<RankBpe>(vocabulary, ranked, SplitPattern::llama3);
    std::vector<bool> is_special(vocabulary.tokens.size(), false);
    std::fill(is_special.begin() + static_cast<std::ptrdiff_t>(ranked), is_special.end(), true);
    return std::make_unique<DecoderTokenizer>(std::move(tokenizer), std::move(vocabulary.tokens), std::move(is_special),
                                              true);
}

}  // namespace ladle
