// Instruction files as splits: lengths, targets, padding, digests.
#include <boost/test/unit_test.hpp>

#include "io/names.hpp"
#include "io/scratch.hpp"
#include "ladle/data/instruction_split.hpp"
#include "support/fixtures.hpp"

using namespace ladle;

namespace {

constexpr const char* kItems =
    R"([{"instruction": "What is 3 + 4?", "output": "\nA: 7"}, {"instruction": "Which?", "output": "none of them"}])";

const DecoderTokenizer& tokenizer() {
    static const auto loaded = load_rank_tokenizer(test::fixtures_root() + "/moa/meta_tiny/tokenizer.model");
    return *loaded;
}

Split read(const std::string& content, const InstructionRules& rules) {
    const Scratch scratch;
    spill(scratch.path("items.json"), content);
    return read_instruction_split(scratch.path("items.json"), "train", tokenizer(), rules);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(instruction_split)

BOOST_AUTO_TEST_CASE(samples_are_the_encoded_items) {
    const InstructionRules rules{.max_length = 1000};
    const Split split = read(kItems, rules);
    BOOST_TEST_REQUIRE(split.samples() == 2U);
    BOOST_TEST(split.task == "instructions");
    BOOST_TEST(split.source_files.front() == "items.json");
    BOOST_TEST(split.model_family == "llama");
    EncodeScratch scratch;
    const InstructionSample second =
        encode_instruction({"Which?", "", "none of them", ""}, tokenizer(), 1000, LabelRule::published, scratch);
    const auto begin = static_cast<std::size_t>(split.offsets[1]);
    BOOST_TEST_REQUIRE(split.input_ids.size() == begin + second.ids.size());
    for (std::size_t t = 0; t < second.ids.size(); ++t) {
        BOOST_TEST(split.input_ids[begin + t] == second.ids[t]);
        BOOST_TEST(int{split.is_target[begin + t]} == int{second.is_target[t]});
    }
}

BOOST_AUTO_TEST_CASE(padding_fills_samples_up_and_is_never_a_target) {
    const Split plain = read(kItems, {.max_length = 400});
    const Split padded = read(kItems, {.max_length = 400, .keep_padding = true});
    for (std::size_t s = 0; s < 2; ++s) {
        BOOST_TEST(padded.length(s) == 400);
        const auto from = static_cast<std::size_t>(plain.offsets[s]);
        const auto to = static_cast<std::size_t>(padded.offsets[s]);
        for (std::size_t t = 0; t < 400; ++t) {
            const bool is_real = t < static_cast<std::size_t>(plain.length(s));
            BOOST_TEST(padded.input_ids[to + t] == (is_real ? plain.input_ids[from + t] : 0));
            BOOST_TEST(int{padded.is_target[to + t]} == (is_real ? int{plain.is_target[from + t]} : 0));
        }
    }
}

BOOST_AUTO_TEST_CASE(the_digest_is_of_all_that_is_learned) {
    const std::string digest = read(kItems, {.max_length = 400}).digest;
    BOOST_TEST(digest.size() == 64U);
    BOOST_TEST(read(std::string("  ") + kItems, {.max_length = 400}).digest == digest);
    BOOST_TEST(read(kItems, {.max_length = 400, .keep_padding = true}).digest != digest);
    std::string other = kItems;
    other.replace(other.find("none"), 4, "some");
    BOOST_TEST(read(other, {.max_length = 400}).digest != digest);
}

BOOST_AUTO_TEST_CASE(without_a_tokenizer_samples_are_as_long_as_they_may_be) {
    const Scratch scratch;
    spill(scratch.path("items.json"), kItems);
    const Split split = longest_instruction_split(scratch.path("items.json"), "train", {.max_length = 30});
    BOOST_TEST_REQUIRE(split.samples() == 2U);
    BOOST_TEST(split.length(0) == 30);
    BOOST_TEST(split.length(1) == 30);
    BOOST_TEST(split.is_target.size() == 60U);
    BOOST_TEST(split.tokenizer_digest.empty());
    spill(scratch.path("none.json"), "[]");
    BOOST_CHECK_THROW(longest_instruction_split(scratch.path("none.json"), "train", {}), DataError);
}

BOOST_AUTO_TEST_CASE(a_file_without_anything_to_predict_is_refused) {
    // As published, a cut leaves the mask as long as the uncut prompt.
    BOOST_CHECK_EXCEPTION(require_targets(read(kItems, {.max_length = 20})), DataError, names("no room for a token"));
    BOOST_CHECK_NO_THROW(require_targets(read(kItems, {.max_length = 20, .labels = LabelRule::mended})));
}

BOOST_AUTO_TEST_SUITE_END()
