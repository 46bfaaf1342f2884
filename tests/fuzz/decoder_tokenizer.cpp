// Fuzzing target: tokenizer.json of a Hugging Face LLaMA directory.
#include "ladle/text/decoder_tokenizer.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "support.hpp"

namespace {

constexpr const char* kTexts[] = {"Hello, worlds! caf\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87 it's 1234",
                                  "<s> </s>  \t ab aba\r\n abab 'LL", "\xff\xfe a\xcc\x81\xcc\xa3"};

void write(const std::string& path, std::string_view text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

/// Everything that decides what the tokenizer does, and what it makes of a few texts.
std::string behaviour(const std::string& directory) {
    const auto tokenizer = ladle::load_llama_tokenizer(directory);
    std::string text = tokenizer->facts().digest;
    for (const char* sample : kTexts) {
        const auto ids = tokenizer->encode(sample, {.begin = true, .end = true});
        for (const std::int32_t id : ids) {
            text += " " + std::to_string(id);
        }
        text += tokenizer->decode(ids, true);
    }
    return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryDirectory directory;
    static const bool furnished = [] {
        write(directory.path("tokenizer_config.json"), R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})");
        return true;
    }();
    ladle_fuzz::require(furnished, "the directory has its other file");
    const std::string text(ladle_fuzz::text_of(bytes, count));
    write(directory.path("tokenizer.json"), text);
    std::string before;
    try {
        before = behaviour(directory.path());
    } catch (const ladle::DataError&) {
        return 0;
    }
    write(directory.path("tokenizer.json"), ladle::parse_json(text, "tokenizer.json").dump(1));
    ladle_fuzz::require(behaviour(directory.path()) == before, "the rewritten file means the same");
    return 0;
}
