// Hostile vocabularies and tokenizer files.
#include <boost/test/unit_test.hpp>

#include "io/names.hpp"
#include "io/scratch.hpp"
#include "ladle/text/decoder_tokenizer.hpp"

namespace {

/// A directory with config.json and the files given.
void load(const std::string& family, const std::vector<std::pair<std::string, std::string>>& files,
          const std::string& text = "") {
    const Scratch scratch;
    spill(scratch.path("config.json"), R"({"model_type": ")" + family + R"("})");
    for (const auto& [name, content] : files) {
        spill(scratch.path(name), content);
    }
    BOOST_TEST(ladle::load_tokenizer(scratch.directory())->encode(text).size() < 10000000U);
}

const std::string kSpecial = R"("[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4)";

std::string bert_json(const std::string& vocabulary, const std::string& added = "",
                      const std::string& word_limit = "100") {
    return R"({"added_tokens": [)" + added +
           R"(], "normalizer": {"type": "BertNormalizer"}, "pre_tokenizer": {"type": "BertPreTokenizer"}, )" +
           R"("model": {"type": "WordPiece", "max_input_chars_per_word": )" + word_limit + R"(, "vocab": {)" +
           vocabulary + "}}}";
}

void refuses_bert(const std::string& file, const char* named) {
    BOOST_CHECK_NO_THROW(load("bert", {{"tokenizer.json", bert_json(kSpecial)}}));
    BOOST_CHECK_EXCEPTION(load("bert", {{"tokenizer.json", file}}), ladle::DataError, names(named));
}

const std::string kRoberta = R"({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, "a": 5, "b": 6, "ab": 7})";

void refuses_merges(const std::string& merges, const char* named) {
    BOOST_CHECK_NO_THROW(load("roberta", {{"vocab.json", kRoberta}, {"merges.txt", "a b\n"}}));
    BOOST_CHECK_EXCEPTION(load("roberta", {{"vocab.json", kRoberta}, {"merges.txt", merges}}), ladle::DataError,
                          names(named));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hostile_tokenizer)

BOOST_AUTO_TEST_CASE(duplicate_ids) {
    refuses_bert(bert_json(kSpecial + R"(, "a": 4)"), "belongs to both");
}

BOOST_AUTO_TEST_CASE(missing_ids) {
    refuses_bert(bert_json(kSpecial + R"(, "a": 6)"), "without holes");
}

BOOST_AUTO_TEST_CASE(id_2_31) {
    refuses_bert(bert_json(kSpecial + R"(, "a": 2147483648)"), "2147483648");
    refuses_bert(bert_json(kSpecial + R"(, "a": 18446744073709551615)"), "18446744073709551615");
    refuses_bert(bert_json(kSpecial + R"(, "a": -1)"), "is -1");
    refuses_bert(bert_json(kSpecial + R"(, "a": 5.0)"), "5.0");
}

BOOST_AUTO_TEST_CASE(duplicate_tokens) {
    refuses_bert(bert_json(kSpecial + R"(, "a": 5, "a": 6)"), "occurs twice");
}

BOOST_AUTO_TEST_CASE(merges_to_unknown_tokens) {
    refuses_merges("b a\n", "'ba'");
    refuses_merges("a c\n", "'ac'");
}

BOOST_AUTO_TEST_CASE(merges_that_are_no_pairs) {
    refuses_merges("ab\n", "not a pair");
    refuses_merges("a  b\n", "not a pair");
    refuses_merges("a b\na b\n", "listed twice");
}

BOOST_AUTO_TEST_CASE(deep_nesting) {
    refuses_bert(std::string(100000, '['), "nested deeper");
    refuses_bert(R"({"model": )" + std::string(100000, '[') + std::string(100000, ']') + "}", "nested deeper");
}

BOOST_AUTO_TEST_CASE(token_of_a_million_bytes) {
    refuses_bert(bert_json(kSpecial + R"(, ")" + std::string(1000000, 'x') + R"(": 5)"), "more than 4096");
}

BOOST_AUTO_TEST_CASE(a_hundred_thousand_added_tokens) {
    std::string added;
    for (int i = 0; i < 100000; ++i) {
        added +=
            (i == 0 ? "" : ",") + (R"({"id": )" + std::to_string(i) + R"(, "content": "a)" + std::to_string(i)) + "\"}";
    }
    refuses_bert(bert_json(kSpecial, added), "at most 4096");
}

BOOST_AUTO_TEST_CASE(word_limit_that_makes_matching_slow) {
    for (const char* limit : {"0", "-1", "1001", "4294967396", "1e3", "true"}) {
        refuses_bert(bert_json(kSpecial, "", limit), "max_input_chars_per_word");
    }
}

BOOST_AUTO_TEST_CASE(long_words_take_no_quadratic_time) {
    // No time is measured: with a quadratic search this test would not end within its limit.
    std::string vocabulary = kSpecial + R"(, "##)" + std::string(4000, 'a') + R"(": 5, "a": 6, "##a": 7)";
    std::string text;
    for (int i = 0; i < 200; ++i) {
        text += std::string(1000, 'a') + ' ';
    }
    load("bert", {{"tokenizer.json", bert_json(vocabulary, "", "1000")}}, text);
    load("roberta", {{"vocab.json", kRoberta}, {"merges.txt", "a b\n"}}, std::string(1000000, 'a'));
}

BOOST_AUTO_TEST_CASE(pattern_without_blow_up) {
    // The word pattern is no regular expression engine's: runs that make one track back take linear time.
    load("roberta", {{"vocab.json", kRoberta}, {"merges.txt", "a b\n"}},
         std::string(500000, ' ') + std::string(500000, '\'') + std::string(500000, '\t'));
}

BOOST_AUTO_TEST_CASE(lone_surrogates) {
    refuses_bert(bert_json(kSpecial + R"(, "\ud800": 5)"), "not valid JSON");
}

BOOST_AUTO_TEST_CASE(bad_utf8) {
    refuses_bert(bert_json(kSpecial + ", \"\xff\": 5"), "not valid JSON");
    BOOST_CHECK_EXCEPTION(load("bert", {{"vocab.txt", "[PAD]\n\xff\n"}}), ladle::DataError, names("not UTF-8"));
}

BOOST_AUTO_TEST_CASE(empty_tokens) {
    refuses_bert(bert_json(kSpecial + R"(, "": 5)"), "empty");
    refuses_bert(bert_json(kSpecial, R"({"id": 5, "content": ""})"), "empty");
}

BOOST_AUTO_TEST_CASE(wrong_types_everywhere) {
    for (const char* file : {"[]", "null", "1", R"({"model": 1})", R"({"added_tokens": [1]})"}) {
        refuses_bert(file, "tokenizer.json");
    }
    refuses_bert(bert_json(kSpecial, "1"), "content");
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

/// The 256 single bytes in order, as a tokenizer.model holds them.
std::string all_bytes() {
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string lines;
    for (unsigned byte = 0; byte < 256; ++byte) {
        lines += std::string(1, kDigits[byte >> 2U]) + kDigits[(byte & 3U) << 4U] + "== " + std::to_string(byte) + "\n";
    }
    return lines;
}

std::size_t encode_ranks(const std::string& file, const std::string& text) {
    const Scratch scratch;
    spill(scratch.path("tokenizer.model"), file);
    return ladle::load_rank_tokenizer(scratch.path("tokenizer.model"))->encode(text, {}).size();
}

void refuses_ranks(const std::string& file, const char* named) {
    BOOST_TEST(encode_ranks(all_bytes(), "ab") == 2U);
    BOOST_CHECK_EXCEPTION(encode_ranks(file, ""), ladle::DataError, names(named));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hostile_rank_tokenizer)

BOOST_AUTO_TEST_CASE(empty_file) {
    refuses_ranks("", "no tokens");
}

BOOST_AUTO_TEST_CASE(lines_that_are_none) {
    for (const char* line : {"\n", "YQ==", "YQ== ", " 256", "YQ==  256", "YQ== 256 ", "YQ==\t256", "YWI= 0x100",
                             "YWI= 99999999999999999999", "YWI= 256\r", "YWI= +256"}) {
        refuses_ranks(all_bytes() + line + "\n", "line 257");
    }
}

BOOST_AUTO_TEST_CASE(malformed_base64) {
    for (const char* token : {"Y", "YQ", "YQ=", "YR==", "YWJ=", "Y===", "====", "YQ==YQ==", "Y!==", "-_=="}) {
        refuses_ranks(all_bytes() + token + " 256\n", "line 257");
    }
}

BOOST_AUTO_TEST_CASE(ranks_with_holes_or_twice) {
    refuses_ranks(all_bytes() + "YWI= 257\n", "without holes");
    refuses_ranks(all_bytes() + "YWI= -1\n", "without holes");
    refuses_ranks(all_bytes() + "YWI= 9223372036854775807\n", "without holes");
    refuses_ranks(all_bytes() + "YWI= 255\n", "belongs to both");
    refuses_ranks(all_bytes() + "YQ== 256\n", "occurs twice");
}

BOOST_AUTO_TEST_CASE(bytes_without_a_token) {
    refuses_ranks("YWI= 0\n", "the byte 0 is no token");
}

BOOST_AUTO_TEST_CASE(a_token_of_a_million_bytes) {
    refuses_ranks(all_bytes() + std::string(1000000, 'A') + " 256\n", "more than 4096");
}

BOOST_AUTO_TEST_CASE(a_last_line_without_end_is_no_attack) {
    BOOST_TEST(encode_ranks(all_bytes() + "YWI= 256", "ab") == 1U);
}

BOOST_AUTO_TEST_CASE(long_texts_take_no_quadratic_time) {
    // "aa", "aaaa", ..., so that merges chain up to long tokens.
    std::string file = all_bytes() + "YWE= 256\nYWFhYQ== 257\nYWFhYWFhYWE= 258\n";
    BOOST_TEST(encode_ranks(file, std::string(1 << 20U, 'a')) == std::size_t{1} << 17U);
    BOOST_TEST(encode_ranks(file, std::string(500000, ' ') + std::string(500000, '\'') + std::string(500000, '\n')) >
               0U);
    BOOST_TEST(encode_ranks(file, "x" + std::string(500000, '\t') + "\n " + std::string(500000, '1')) > 0U);
}

BOOST_AUTO_TEST_SUITE_END()
