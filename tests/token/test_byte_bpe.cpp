// Byte-level BPE: the word pattern, merging order, added tokens and what happens to bytes without a token.
#include <boost/test/unit_test.hpp>

#include "ladle/core/error.hpp"
#include "ladle/text/byte_bpe.hpp"
#include "ladle/text/pair.hpp"
#include "support/token_cases.hpp"

using namespace ladle;

namespace {

using Ids = std::vector<std::int32_t>;

std::vector<std::string> words_of(const std::string& text, SplitPattern pattern = SplitPattern::gpt2) {
    std::vector<std::string> words;
    for (std::size_t position = 0; position < text.size();) {
        const std::size_t end = find_word_end(text, position, pattern);
        words.push_back(text.substr(position, end - position));
        position = end;
    }
    return words;
}

/// <s> 0, <pad> 1, </s> 2, <unk> 3, <mask> 4, then single letters and merged ones.
Vocabulary small_vocabulary() {
    Vocabulary vocabulary;
    vocabulary.source = "small";
    vocabulary.special = default_special_names("roberta");
    vocabulary.tokens = {"<s>",
                         "<pad>",
                         "</s>",
                         "<unk>",
                         "<mask>",
                         "a",
                         "b",
                         "\xC4\xA0",
                         "ab",
                         "aa",
                         "\xC4\xA0"
                         "a"};
    vocabulary.added = {{"<s>", 0}, {"<pad>", 1}, {"</s>", 2}, {"<unk>", 3}, {"<mask>", 4, true, false}};
    return vocabulary;
}

const ByteBpe::Merges kMerges = {{"a", "b"}, {"a", "a"}, {"\xC4\xA0", "a"}};

}  // namespace

BOOST_AUTO_TEST_CASE(words_follow_the_published_pattern) {
    const auto is = [](const std::string& text, const std::vector<std::string>& expected) {
        BOOST_TEST(words_of(text) == expected, boost::test_tools::per_element());
    };
    is("it's we'll 'S'd", {"it", "'s", " we", "'ll", " '", "S", "'d"});
    is("abc 123 x1!", {"abc", " 123", " x", "1", "!"});
    is("a  b   ", {"a", " ", " b", "   "});
    is("a \n b\n", {"a", " \n", " b", "\n"});
    is(" \xC2\xA0x", {" ", "\xC2\xA0", "x"});  // a no-break space is white but never joins the next word
    is("\xC3\xA9t\xC3\xA9 \xE4\xB8\xAD", {"\xC3\xA9t\xC3\xA9", " \xE4\xB8\xAD"});
}

BOOST_AUTO_TEST_CASE(words_follow_the_pattern_of_llama3) {
    const auto is = [](const std::string& text, const std::vector<std::string>& expected) {
        BOOST_TEST(words_of(text, SplitPattern::llama3) == expected, boost::test_tools::per_element());
    };
    is("it's WE'LL 'S'd", {"it", "'s", " WE", "'LL", " '", "S", "'d"});
    is("x'\xC5\xBFt", {"x", "'\xC5\xBF", "t"});  // the long s folds to s
    is("12345 6", {"123", "45", " ", "6"});
    is("(abc) _d", {"(abc", ")", " _", "d"});
    is("end.\n\nNext", {"end", ".\n\n", "Next"});
    is("a\n \n  b", {"a", "\n \n", " ", " b"});
    is("\tab\nc", {"\tab", "\n", "c"});
    is("a   ", {"a", "   "});
    is(" \xC2\xA0x", {" ", "\xC2\xA0x"});
}

BOOST_AUTO_TEST_CASE(words_follow_the_pattern_of_smollm) {
    const auto is = [](const std::string& text, const std::vector<std::string>& expected) {
        BOOST_TEST(words_of(text, SplitPattern::smollm) == expected, boost::test_tools::per_element());
    };
    is("a 12b", {"a", " ", "1", "2", "b"});
    is("x  1", {"x", "  ", "1"});  // what lies before a digit is a text of its own: no character is left to it
    is("x  y", {"x", " ", " y"});
    is("\xD9\xA3!", {"\xD9\xA3", "!"});
    // A digit of newer Unicode, which the library's Digits knows and its \\p{N} does not.
    is("!\xF0\x91\xB7\xA0\xF0\x91\xB7\xA1", {"!", "\xF0\x91\xB7\xA0", "\xF0\x91\xB7\xA1"});
}

BOOST_AUTO_TEST_CASE(merges_apply_by_rank_then_from_the_left) {
    const ByteBpe tokenizer(small_vocabulary(), kMerges, {});
    BOOST_TEST(tokenizer.encode("aab") == (Ids{5, 8}));  // a+b has the lower rank, so aa never forms
    BOOST_TEST(tokenizer.encode("aaa") == (Ids{9, 5}));  // leftmost pair first
    BOOST_TEST(tokenizer.encode("a ab") == (Ids{5, 7, 8}));
    BOOST_TEST(tokenizer.encode("b a") == (Ids{6, 10}));
}

BOOST_AUTO_TEST_CASE(special_tokens_in_the_text_are_found) {
    const ByteBpe tokenizer(small_vocabulary(), kMerges, {});
    BOOST_TEST(tokenizer.encode("a <mask>b</s>") == (Ids{5, 4, 6, 2}));  // <mask> takes the space before it
    BOOST_TEST(tokenizer.encode("a <s>") == (Ids{5, 7, 0}));             // <s> does not
    BOOST_TEST(tokenizer.encode("<mask><mask>") == (Ids{4, 4}));
}

BOOST_AUTO_TEST_CASE(a_byte_without_token_is_left_out_or_unknown) {
    ByteBpeOptions options;
    BOOST_TEST(ByteBpe(small_vocabulary(), kMerges, options).encode("axb") == (Ids{8}));
    options.unknown_bytes = true;
    BOOST_TEST(ByteBpe(small_vocabulary(), kMerges, options).encode("axb") == (Ids{5, 3, 6}));
}

BOOST_AUTO_TEST_CASE(a_prefix_space_is_added_once) {
    ByteBpeOptions options;
    options.add_prefix_space = true;
    const ByteBpe tokenizer(small_vocabulary(), kMerges, options);
    BOOST_TEST(tokenizer.encode("a") == (Ids{10}));
    BOOST_TEST(tokenizer.encode(" a") == (Ids{10}));
}

BOOST_AUTO_TEST_CASE(merges_must_fit_the_vocabulary) {
    ByteBpe::Merges unknown = kMerges;
    unknown.emplace_back("b", "b");
    BOOST_CHECK_THROW(ByteBpe(small_vocabulary(), unknown, {}), DataError);
    ByteBpe::Merges twice = kMerges;
    twice.push_back(kMerges[0]);
    BOOST_CHECK_THROW(ByteBpe(small_vocabulary(), twice, {}), DataError);
}

BOOST_AUTO_TEST_CASE(a_long_word_takes_no_quadratic_time) {
    const ByteBpe tokenizer(small_vocabulary(), kMerges, {});
    BOOST_TEST(tokenizer.encode(std::string(1000000, 'a')).size() == 500000U);
}

BOOST_AUTO_TEST_CASE(roberta_pairs_have_two_separators) {
    const ByteBpe tokenizer(small_vocabulary(), kMerges, {});
    Ids ids;
    const Ids first = {5, 5, 5};
    const Ids second = {6, 6};
    BuiltInput built = build_input(tokenizer.facts(), first, &second, 128, ids);
    BOOST_TEST(ids == (Ids{0, 5, 5, 5, 2, 2, 6, 6, 2}));
    BOOST_TEST(built.sep_pos == 6);
    ids.clear();
    built = build_input(tokenizer.facts(), first, &second, 7, ids);
    BOOST_TEST(ids == (Ids{0, 5, 5, 2, 2, 6, 2}));  // room 3: the second is the shorter one and gets half of it
    BOOST_TEST(built.length_untruncated == 9U);
    BOOST_CHECK_THROW(build_input(tokenizer.facts(), first, &second, 3, ids), ConfigError);
}
