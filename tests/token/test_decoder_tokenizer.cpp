// Tokenizers of decoders against the published ones, on awkward texts; and back to text.
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <iostream>

#include "io/names.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/gguf.hpp"
#include "ladle/text/decoder_tokenizer.hpp"
#include "ladle/text/rank_bpe.hpp"
#include "support/fixtures.hpp"
#include "support/token_cases.hpp"

using namespace ladle;
using nlohmann::json;

namespace {

using Ids = std::vector<std::int32_t>;

json fixture(const std::string& name) {
    return read_json_file((token_test::fixture_dir() / ("decoder_" + name + ".json")).string());
}

std::string tiny() {
    return test::fixtures_root() + "/moa/meta_tiny";
}

/// Every text must have the ids of the case, and come back from them where every byte has a token.
void check_cases(const DecoderTokenizer& tokenizer, const json& cases, bool every_byte = true) {
    BOOST_TEST(cases.size() > 100U);
    EncodeScratch scratch;
    for (const json& item : cases) {
        const auto text = item["text"].get<std::string>();
        Ids ids;
        tokenizer.encode(text, {}, scratch, ids);
        BOOST_TEST((ids == item["ids"].get<Ids>()), item["text"].dump());
        BOOST_TEST((!every_byte || tokenizer.decode(ids, true) == text), item["text"].dump());
    }
}

void check_trained(const std::string& pattern) {
    const json content = fixture(pattern);
    const auto dir = token_test::fresh_dir("decoder");
    token_test::write_text(dir / "tokenizer.json", content["tokenizer"].dump());
    token_test::write_text(dir / "tokenizer_config.json", content["config"].dump());
    const auto tokenizer = load_llama_tokenizer(dir.string());
    BOOST_TEST(tokenizer->facts().family == "llama");
    BOOST_TEST(tokenizer->begin_id() == 420);
    BOOST_TEST(tokenizer->end_id() == 421);
    check_cases(*tokenizer, content["cases"]);
    const Ids ids = tokenizer->encode("a", {.begin = true, .end = true});
    BOOST_TEST(ids.front() == 420);
    BOOST_TEST(ids.back() == 421);
    BOOST_TEST(tokenizer->decode(ids) == "a");
    BOOST_TEST(tokenizer->decode(ids, true) == "<|begin|>a<|end|>");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(decoder_tokenizer)

BOOST_AUTO_TEST_CASE(directories_with_the_pattern_of_gpt2) {
    check_trained("gpt2");
}

BOOST_AUTO_TEST_CASE(directories_with_the_pattern_of_llama3) {
    check_trained("llama3");
}

BOOST_AUTO_TEST_CASE(directories_with_the_pattern_of_smollm) {
    check_trained("smollm");
}

BOOST_AUTO_TEST_CASE(ranks_merge_as_in_tiktoken) {
    check_cases(*load_rank_tokenizer(tiny() + "/tokenizer.model"), fixture("rank")["cases"]);
}

BOOST_AUTO_TEST_CASE(a_word_that_is_a_token_stays_whole) {
    Vocabulary vocabulary;
    vocabulary.source = "bytes";
    for (int byte = 0; byte < 256; ++byte) {
        vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
    }
    // No two of its bytes are a token, so merging never gets there.
    vocabulary.tokens.insert(vocabulary.tokens.end(), {"abc", "<begin>", "<end>"});
    vocabulary.special.cls = "<begin>";
    vocabulary.special.sep = "<end>";
    const RankBpe tokenizer(vocabulary, 257, SplitPattern::llama3);
    BOOST_TEST((tokenizer.encode("abc") == Ids{256}));
    BOOST_TEST((tokenizer.encode("abcd") == Ids{'a', 'b', 'c', 'd'}));
    BOOST_TEST(tokenizer.encode("<end>").size() == 5U);  // special tokens are never found in texts
}

BOOST_AUTO_TEST_CASE(ranks_as_in_the_published_class) {
    for (const std::string& directory : test::meta_directories()) {
        const json expected = read_json_file(directory + "/tokenizer_cases.json");
        const auto tokenizer = load_rank_tokenizer(directory + "/tokenizer.model");
        BOOST_TEST(tokenizer->facts().vocab_size == expected["n_words"].get<std::int64_t>());
        BOOST_TEST(tokenizer->begin_id() == expected["bos_id"].get<std::int32_t>());
        BOOST_TEST(tokenizer->end_id() == expected["eos_id"].get<std::int32_t>());
        BOOST_TEST(tokenizer->facts().special.pad == expected["pad_id"].get<std::int32_t>());
        for (const auto& [name, id] : expected["special"].items()) {
            BOOST_TEST(tokenizer->decode(Ids{id.get<std::int32_t>()}, true) == name);
            BOOST_TEST(tokenizer->decode(Ids{id.get<std::int32_t>()}).empty());
        }
        for (const json& item : expected["cases"]) {
            const Ids ids = tokenizer->encode(item["text"].get<std::string>(), {.begin = true, .end = true});
            BOOST_TEST((ids == item["ids"].get<Ids>()), item["text"].dump());
        }
    }
    BOOST_TEST(load_rank_tokenizer(tiny() + "/tokenizer.model")->decode(Ids{531}, true) ==
               "<|reserved_special_token_250|>");
}

BOOST_AUTO_TEST_CASE(ids_outside_the_vocabulary_are_refused) {
    const auto tokenizer = load_rank_tokenizer(tiny() + "/tokenizer.model");
    BOOST_CHECK_EXCEPTION(tokenizer->decode(Ids{532}), DataError, names("532"));
    BOOST_CHECK_EXCEPTION(tokenizer->decode(Ids{-1}), DataError, names("-1"));
}

BOOST_AUTO_TEST_CASE(ids_may_end_inside_a_character) {
    const auto tokenizer = load_rank_tokenizer(tiny() + "/tokenizer.model");
    BOOST_TEST(tokenizer->decode(Ids{0xc3}) == "\xc3");
}

/// The tokenizer of the trained fixture as the metadata of a GGUF file would hold it.
json as_gguf(const json& file) {
    json tokens = json::array();
    json types = json::array();
    for (const auto& [text, id] : file["model"]["vocab"].items()) {
        tokens[id.get<std::size_t>()] = text;
        types[id.get<std::size_t>()] = 1;
    }
    for (const json& added : file["added_tokens"]) {
        tokens[added["id"].get<std::size_t>()] = added["content"];
        types[added["id"].get<std::size_t>()] = 3;
    }
    json merges = json::array();
    for (const json& merge : file["model"]["merges"]) {
        merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    }
    return {{"tokenizer.ggml.model", "gpt2"},      {"tokenizer.ggml.pre", "smollm"},
            {"tokenizer.ggml.tokens", tokens},     {"tokenizer.ggml.token_type", types},
            {"tokenizer.ggml.merges", merges},     {"tokenizer.ggml.bos_token_id", 420U},
            {"tokenizer.ggml.eos_token_id", 421U}, {"tokenizer.ggml.add_space_prefix", false}};
}

BOOST_AUTO_TEST_CASE(metadata_of_gguf_files) {
    const json content = fixture("smollm");
    const auto tokenizer = make_gguf_tokenizer(as_gguf(content["tokenizer"]), "m.gguf");
    BOOST_TEST(tokenizer->begin_id() == 420);
    BOOST_TEST(tokenizer->end_id() == 421);
    check_cases(*tokenizer, content["cases"]);
}

BOOST_AUTO_TEST_CASE(metadata_that_are_not_supported_are_refused) {
    const json good = as_gguf(fixture("smollm")["tokenizer"]);
    const auto refuses = [&](const char* key, const json& value, const char* named) {
        json changed = good;
        changed[key] = value;
        BOOST_CHECK_EXCEPTION(make_gguf_tokenizer(changed, "m.gguf"), DataError, names(named));
    };
    refuses("tokenizer.ggml.model", "llama", "tokenizer.ggml.model is llama");
    refuses("tokenizer.ggml.pre", "qwen2", "tokenizer.ggml.pre is qwen2");
    refuses("tokenizer.ggml.pre", "\xff", "tokenizer.ggml.pre");
    refuses("tokenizer.ggml.pre", nullptr, "tokenizer.ggml.pre");
    refuses("tokenizer.ggml.add_space_prefix", true, "add_space_prefix");
    refuses("tokenizer.ggml.bos_token_id", 422U, "bos_token_id");
    refuses("tokenizer.ggml.eos_token_id", -1, "eos_token_id");
    refuses("tokenizer.ggml.tokens", json::array({1}), "not a list of texts");
    refuses("tokenizer.ggml.tokens", json::array({"a"}), "1 tokens and 422 token types");
    refuses("tokenizer.ggml.merges", json::array({"a"}), "not a pair");
    refuses("tokenizer.ggml.merges", json::array({"\xff"}), "not a pair");
    refuses("tokenizer.ggml.merges", json::array({"a \xff"}), "not in the vocabulary");
    json types = good["tokenizer.ggml.token_type"];
    types[7] = "\xff";
    refuses("tokenizer.ggml.token_type", types, "token 7 is of type");
    types[7] = 6;
    refuses("tokenizer.ggml.token_type", types, "token 7 is of type 6");
}

BOOST_AUTO_TEST_CASE(other_pre_tokenizers_are_named) {
    const json content = fixture("llama3");
    const auto refuses = [&](const json& splitter, const char* named) {
        const auto dir = token_test::fresh_dir("decoder");
        json file = content["tokenizer"];
        file["pre_tokenizer"] = splitter;
        token_test::write_text(dir / "tokenizer.json", file.dump());
        token_test::write_text(dir / "tokenizer_config.json", content["config"].dump());
        BOOST_CHECK_EXCEPTION(load_llama_tokenizer(dir.string()), DataError, names(named));
    };
    const json known = content["tokenizer"]["pre_tokenizer"];
    json other = known;
    other["pretokenizers"][0]["pattern"]["Regex"] = "\\p{N}{1,2}|.";
    refuses(other, "\\\\p{N}{1,2}|.");
    other = known;
    other["pretokenizers"][0]["behavior"] = "Removed";
    refuses(other, "Removed");
    other = known;
    other["pretokenizers"][1]["use_regex"] = true;
    refuses(other, "does not know the pre_tokenizer");
    other = known;
    other["pretokenizers"][1]["add_prefix_space"] = true;
    refuses(other, "does not know the pre_tokenizer");
    other = known;
    other["pretokenizers"].push_back(known["pretokenizers"][0]);
    refuses(other, "does not know the pre_tokenizer");
    refuses({{"type", "Sequence"}, {"pretokenizers", json::array()}}, "does not know the pre_tokenizer");
    refuses({{"type", "Sequence"}, {"pretokenizers", json::array({1, 2})}}, "does not know the pre_tokenizer");
    refuses({{"type", "Whitespace"}}, "Whitespace");
}

BOOST_AUTO_TEST_CASE(a_directory_must_name_begin_and_end) {
    const json content = fixture("gpt2");
    const auto dir = token_test::fresh_dir("decoder");
    token_test::write_text(dir / "tokenizer.json", content["tokenizer"].dump());
    const auto refuses = [&](const char* named) {
        BOOST_CHECK_EXCEPTION(load_llama_tokenizer(dir.string()), DataError, names(named));
    };
    refuses("no bos_token");
    token_test::write_text(dir / "tokenizer_config.json", R"({"bos_token": "<|begin|>"})");
    refuses("no eos_token");
    token_test::write_text(dir / "tokenizer_config.json", R"({"bos_token": "<|begin|>", "eos_token": ""})");
    refuses("\"eos_token\" is empty");
    token_test::write_text(dir / "tokenizer_config.json", R"({"bos_token": "<|begin|>", "eos_token": "<|x|>"})");
    refuses("<|x|> is not in the vocabulary");
}

BOOST_AUTO_TEST_CASE(prompts_begin_as_the_files_say) {
    const json content = fixture("smollm");
    const auto dir = token_test::fresh_dir("decoder");
    const auto begins = [&](const json& processor, const json& added) {
        json file = content["tokenizer"];
        file["post_processor"] = processor;
        json config = content["config"];
        config["add_bos_token"] = added;
        token_test::write_text(dir / "tokenizer.json", file.dump());
        token_test::write_text(dir / "tokenizer_config.json", config.dump());
        return load_llama_tokenizer(dir.string())->begins_prompts();
    };
    const auto special = [](const char* name) { return json{{"SpecialToken", {{"id", name}, {"type_id", 0}}}}; };
    const auto processor = [](const json& first) {
        return json{{"type", "TemplateProcessing"}, {"single", {first, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}}};
    };
    const json begin = processor(special("<|begin|>"));
    BOOST_TEST(!begins(nullptr, nullptr));
    BOOST_TEST(begins(nullptr, true));
    BOOST_TEST(begins(begin, nullptr));
    BOOST_TEST(!begins(begin, false));
    BOOST_TEST(!begins(processor(special("<|end|>")), nullptr));
    BOOST_TEST(!begins({{"type", "ByteLevel"}}, nullptr));
    BOOST_TEST(begins({{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, begin}}}, nullptr));
    json metadata = as_gguf(content["tokenizer"]);
    BOOST_TEST(!make_gguf_tokenizer(metadata, "m.gguf")->begins_prompts());
    metadata["tokenizer.ggml.add_bos_token"] = true;
    BOOST_TEST(make_gguf_tokenizer(metadata, "m.gguf")->begins_prompts());
    BOOST_TEST(load_rank_tokenizer(tiny() + "/tokenizer.model")->begins_prompts());
}

// The tokenizer of the real model, where LADLE_SMOLLM2_GGUF names its file.
BOOST_AUTO_TEST_CASE(the_published_smollm2) {
    const char* path = std::getenv("LADLE_SMOLLM2_GGUF");
    if (path == nullptr) {
        std::cout << "SKIPPED: no SmolLM2 (set LADLE_SMOLLM2_GGUF to its GGUF file)\n";
        return;
    }
    const auto tokenizer = make_gguf_tokenizer(open_gguf(path).metadata, path);
    BOOST_TEST(tokenizer->begin_id() == 1);
    BOOST_TEST(tokenizer->end_id() == 2);
    // It has no tokens for most control characters.
    check_cases(*tokenizer, fixture("smollm2")["cases"], false);
    const std::string chat = "<|im_start|>user\nWhat is 12 + 30?<|im_end|>\n";
    BOOST_TEST(tokenizer->decode(tokenizer->encode(chat, {}), true) == chat);
    BOOST_TEST(tokenizer->decode(tokenizer->encode(chat, {})) == "user\nWhat is 12 + 30?\n");
}

BOOST_AUTO_TEST_SUITE_END()
