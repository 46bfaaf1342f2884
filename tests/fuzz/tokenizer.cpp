// Fuzzing target: the files of a tokenizer. The first byte of an input chooses the file that it replaces in a directory
// whose other files are sound.
#include "ladle/text/tokenizer.hpp"

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "support.hpp"

namespace {

struct Place {
    const char* family;
    const char* file;
    bool is_json;
};
constexpr std::array<Place, 7> kPlaces = {{{"bert", "vocab.txt", false},
                                           {"bert", "tokenizer.json", true},
                                           {"bert", "tokenizer_config.json", true},
                                           {"roberta", "vocab.json", true},
                                           {"roberta", "merges.txt", false},
                                           {"roberta", "tokenizer.json", true},
                                           {"roberta", "tokenizer_config.json", true}}};
constexpr const char* kTexts[] = {"Hello, worlds! caf\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87 it's 1234",
                                  "[CLS] <mask> </s>  \t ab aba abab unhappiest", "\xff\xfe a\xcc\x81\xcc\xa3"};

void write(const std::string& path, std::string_view text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

/// A directory in which only the place's file is missing.
void furnish(const std::string& directory, const std::string& family) {
    const std::string bert = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\nhello\nworld\n##s\n,\n!\n";
    const std::string roberta =
        R"({"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"<mask>":4,"a":5,"b":6,"ab":7,"Ġ":8,"Ġa":9,"aba":10})";
    write(directory + "/config.json", R"({"model_type":")" + family + R"("})");
    if (family == "bert") {
        write(directory + "/vocab.txt", bert);
    } else {
        write(directory + "/vocab.json", roberta);
        write(directory + "/merges.txt", "#version: 0.2\na b\nab a\n");
    }
}

/// Everything that decides what the tokenizer does, and what it makes of a few texts.
std::string behaviour(const std::string& directory) {
    const auto tokenizer = ladle::load_tokenizer(directory);
    std::string text = tokenizer->facts().digest + " " + std::to_string(tokenizer->facts().vocab_size);
    for (const char* sample : kTexts) {
        for (const std::int32_t id : tokenizer->encode(sample)) {
            ladle_fuzz::require(id >= 0 && id < tokenizer->facts().vocab_size, "ids lie in the vocabulary");
            text += " " + std::to_string(id);
        }
    }
    return text;
}

/// The same file written in another way.
std::string rewritten(const Place& place, const std::string& text) {
    if (place.is_json) {
        return ladle::parse_json(text, place.file).dump(1);
    }
    std::string lines;
    for (const char byte : text) {
        lines += byte == '\n' && !lines.ends_with('\r') ? "\r\n" : std::string(1, byte);
    }
    return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const std::array<ladle_fuzz::MemoryDirectory, kPlaces.size()> directories;
    if (count == 0) {
        return 0;
    }
    const std::size_t chosen = bytes[0] % kPlaces.size();
    const Place& place = kPlaces.at(chosen);
    const ladle_fuzz::MemoryDirectory& directory = directories.at(chosen);
    static std::array<bool, kPlaces.size()> furnished{};
    if (!furnished.at(chosen)) {
        furnish(directory.path(), place.family);
        furnished.at(chosen) = true;
    }
    const std::string text(ladle_fuzz::text_of(bytes + 1, count - 1));
    write(directory.path(place.file), text);
    std::string before;
    try {
        before = behaviour(directory.path());
    } catch (const ladle::DataError&) {
        return 0;
    }
    write(directory.path(place.file), rewritten(place, text));
    ladle_fuzz::require(behaviour(directory.path()) == before, "the rewritten file means the same");
    return 0;
}
