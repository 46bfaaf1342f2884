// Reading tokenizer files from a model directory: what decides the kind, and what is refused.
#include <boost/test/unit_test.hpp>

#include "ladle/core/error.hpp"
#include "support/token_cases.hpp"

using namespace ladle;
using token_test::write_text;

namespace {

using Ids = std::vector<std::int32_t>;

const std::string kWords = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";

/// A directory with config.json of that model type.
token_test::fs::path model_dir(const std::string& model_type) {
    const auto dir = token_test::fresh_dir("tokenizer");
    write_text(dir / "config.json", "{\"model_type\": \"" + model_type + "\"}");
    return dir;
}

bool says(const Error& error, const std::string& part) {
    BOOST_TEST_MESSAGE(error.what());
    return std::string(error.what()).find(part) != std::string::npos;
}

void refuses(const token_test::fs::path& dir, const std::string& part) {
    BOOST_CHECK_EXCEPTION(load_tokenizer(dir.string()), DataError,
                          [&](const Error& error) { return says(error, part); });
}

std::string bert_json(const std::string& lower, const std::string& vocabulary, const std::string& added = "") {
    return R"({"added_tokens": [)" + added + R"(], "normalizer": {"type": "BertNormalizer", "clean_text": true, )" +
           R"("handle_chinese_chars": true, "strip_accents": null, "lowercase": )" + lower +
           R"(}, "pre_tokenizer": {"type": "BertPreTokenizer"}, "model": {"type": "WordPiece", "unk_token": "[UNK]", )" +
           R"("continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": )" + vocabulary + "}}";
}

const std::string kVocabJson = R"({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 5, "A": 6})";

}  // namespace

BOOST_AUTO_TEST_CASE(bert_reads_vocab_txt_and_its_case) {
    const auto dir = model_dir("bert");
    write_text(dir / "vocab.txt", kWords + "a\nA\n##b\n");
    BOOST_TEST(load_tokenizer(dir.string())->encode("Ab [SEP]") == (Ids{5, 7, 3}));
    write_text(dir / "tokenizer_config.json", R"({"do_lower_case": false})");
    BOOST_TEST(load_tokenizer(dir.string())->encode("Ab") == (Ids{6, 7}));
}

BOOST_AUTO_TEST_CASE(bert_prefers_tokenizer_json) {
    const auto dir = model_dir("bert");
    write_text(dir / "vocab.txt", kWords + "x\n");
    write_text(dir / "tokenizer.json", bert_json("false", kVocabJson));
    const auto tokenizer = load_tokenizer(dir.string());
    BOOST_TEST(tokenizer->encode("A") == (Ids{6}));
    BOOST_TEST(tokenizer->facts().vocab_size == 7);
    BOOST_TEST(tokenizer->facts().special.mask == 4);
    write_text(dir / "tokenizer_config.json", R"({"do_lower_case": true})");
    refuses(dir, "do_lower_case = true");
}

BOOST_AUTO_TEST_CASE(both_forms_of_one_vocabulary_have_one_digest) {
    const auto text = model_dir("bert");
    write_text(text / "vocab.txt", kWords + "a\nA\n");
    const std::string digest = load_tokenizer(text.string())->facts().digest;
    std::string added;
    for (int id = 0; id < 5; ++id) {
        const char* names[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
        added += std::string(id == 0 ? "" : ", ") + R"({"id": )" + std::to_string(id) + R"(, "content": ")" +
                 names[id] + R"(", "lstrip": false, "rstrip": false, "single_word": false})";
    }
    write_text(text / "tokenizer.json", bert_json("true", kVocabJson, added));
    BOOST_TEST(load_tokenizer(text.string())->facts().digest == digest);
    write_text(text / "tokenizer.json", bert_json("false", kVocabJson, added));
    BOOST_TEST(load_tokenizer(text.string())->facts().digest != digest);
}

BOOST_AUTO_TEST_CASE(roberta_reads_vocab_json_and_merges_txt) {
    const auto dir = model_dir("roberta");
    write_text(dir / "vocab.json",
               R"({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, "a": 5, "b": 6, "ab": 7})");
    write_text(dir / "merges.txt", "#version: 0.2\na b\n");
    const auto tokenizer = load_tokenizer(dir.string());
    BOOST_TEST(tokenizer->facts().family == "roberta");
    BOOST_TEST(tokenizer->encode("aab <mask>") == (Ids{5, 7, 4}));
    write_text(dir / "merges.txt", "#version: 0.2\na b c\n");
    refuses(dir, "not a pair");
    write_text(dir / "merges.txt", "#version: 0.2\nb a\n");
    refuses(dir, "'ba'");
}

BOOST_AUTO_TEST_CASE(broken_vocabularies_are_refused_by_name) {
    const auto dir = model_dir("bert");
    refuses(dir, "vocab.txt");
    write_text(dir / "vocab.txt", kWords + "a\nb\na\n");
    refuses(dir, "'a' occurs twice");
    write_text(dir / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n");
    refuses(dir, "[MASK]");
    write_text(dir / "vocab.txt", kWords + "\nb\n");
    refuses(dir, "empty");
    write_text(dir / "vocab.txt", kWords + "\xFF\n");
    refuses(dir, "not UTF-8");
    write_text(dir / "tokenizer.json",
               bert_json("true", R"({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 5})"));
    refuses(dir, "'[MASK]' has id 5");
    write_text(dir / "tokenizer.json",
               bert_json("true", R"({"[PAD]": 0, "[UNK]": 0, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4})"));
    refuses(dir, "belongs to both");
    write_text(dir / "tokenizer.json", bert_json("true", R"({"[PAD]": 0, "[UNK]": 2147483648})"));
    refuses(dir, "2147483648");
    write_text(dir / "tokenizer.json", bert_json("true", R"({"[PAD]": 0, "[PAD]": 1})"));
    refuses(dir, "occurs twice");
}

BOOST_AUTO_TEST_CASE(an_empty_unknown_token_is_refused) {
    const auto dir = model_dir("bert");
    std::string json = bert_json("true", kVocabJson);
    const std::string name = R"("unk_token": ")";
    json.erase(json.find(name) + name.size(), std::string("[UNK]").size());
    write_text(dir / "tokenizer.json", json);
    refuses(dir, "\"unk_token\" is empty");
}

BOOST_AUTO_TEST_CASE(hostile_json_is_refused) {
    const auto dir = model_dir("bert");
    write_text(dir / "tokenizer.json", std::string(100000, '['));
    refuses(dir, "nested deeper");
    write_text(dir / "tokenizer.json", "{\"model\": \"\\ud800\"}");
    refuses(dir, "not valid JSON");
    write_text(dir / "tokenizer.json", "{");
    refuses(dir, "not valid JSON");
    write_text(dir / "tokenizer.json", "[]");
    refuses(dir, "tokenizer.json");
}

BOOST_AUTO_TEST_CASE(other_models_are_refused) {
    refuses(model_dir("gpt2"), "gpt2");
    refuses(token_test::fresh_dir("tokenizer"), "config.json");
}
