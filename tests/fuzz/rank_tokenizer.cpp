// Fuzzing target: LLaMA 3's tokenizer.model.
#include <algorithm>

#include "ladle/core/error.hpp"
#include "ladle/text/decoder_tokenizer.hpp"
#include "support.hpp"

namespace {

constexpr const char* kTexts[] = {"It's 12345 caf\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87\r\n  <|eot_id|> ab abab",
                                  "\t\t\n \xff\xfe a\xcc\x81 'LL '\xc5\xbf"};

/// The lines in the opposite order.
std::string reversed(std::string_view content) {
    std::vector<std::string> lines;
    while (!content.empty()) {
        const std::string_view line = content.substr(0, content.find('\n'));
        lines.emplace_back(line);
        content.remove_prefix(std::min(content.size(), line.size() + 1));
    }
    std::string text;
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
        text += *line + "\n";
    }
    return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryFile file;
    const std::string_view content = ladle_fuzz::text_of(bytes, count);
    file.set(content);
    std::unique_ptr<const ladle::DecoderTokenizer> tokenizer;
    try {
        tokenizer = ladle::load_rank_tokenizer(file.path());
    } catch (const ladle::DataError&) {
        return 0;
    }
    file.set(reversed(content));
    const auto again = ladle::load_rank_tokenizer(file.path());
    ladle_fuzz::require(again->facts().digest == tokenizer->facts().digest, "the order of lines says nothing");
    for (const char* text : kTexts) {
        const auto ids = tokenizer->encode(text, {.begin = true, .end = true});
        ladle_fuzz::require(tokenizer->decode(ids) == text, "the text comes back");
        ladle_fuzz::require(again->encode(text, {.begin = true, .end = true}) == ids, "the same ids");
    }
    return 0;
}
