// Instruction files, the Alpaca prompt, which tokens are learned, and items that two files share.
#include <boost/test/unit_test.hpp>

#include "io/names.hpp"
#include "io/scratch.hpp"
#include "ladle/data/instructions.hpp"
#include "support/fixtures.hpp"
#include "support/math_files.hpp"

using namespace ladle;

namespace {

using Ids = std::vector<std::int32_t>;

std::vector<Instruction> read(const std::string& name, const std::string& content) {
    const Scratch scratch;
    spill(scratch.path(name), content);
    return read_instructions(scratch.path(name));
}

void refuses(const std::string& name, const std::string& content, const char* named) {
    BOOST_CHECK_EXCEPTION(read(name, content), DataError, names(named));
}

const DecoderTokenizer& tokenizer() {
    static const auto loaded = load_rank_tokenizer(test::fixtures_root() + "/moa/meta_tiny/tokenizer.model");
    return *loaded;
}

InstructionSample encode(const Instruction& item, int max_tokens, LabelRule rule) {
    EncodeScratch scratch;
    return encode_instruction(item, tokenizer(), max_tokens, rule, scratch);
}

Ids ids_of(const std::string& text, TextEnds ends = {}) {
    return tokenizer().encode(text, ends);
}

std::size_t targets_of(const InstructionSample& sample) {
    return static_cast<std::size_t>(std::count(sample.is_target.begin(), sample.is_target.end(), 1));
}

const Instruction kSum = {"What is 3 + 4?", "", "\nA: 7", "7"};
const Instruction kWithInput = {"Add the numbers.", "3 and 4 and 5", "12", ""};

}  // namespace

BOOST_AUTO_TEST_SUITE(instructions)

BOOST_AUTO_TEST_CASE(arrays_and_lines_are_read) {
    const std::string first = R"({"instruction": "What?", "input": "", "output": "\nA: caf\u00e9", "answer": "7"})";
    const std::string second = R"({"output": "no", "instruction": "Or?"})";
    for (const auto& items : {read("a.json", "[" + first + ", " + second + "]"), read("a.jsonl", first + "\n" + second),
                              read("a.jsonl", first + "\n" + second + "\n")}) {
        BOOST_TEST_REQUIRE(items.size() == 2U);
        BOOST_TEST(items[0].instruction == "What?");
        BOOST_TEST(items[0].output == "\nA: caf\xc3\xa9");
        BOOST_TEST(items[0].answer == "7");
        BOOST_TEST(items[1].instruction == "Or?");
        BOOST_TEST(items[1].input.empty());
        BOOST_TEST(items[1].answer.empty());
    }
}

BOOST_AUTO_TEST_CASE(anything_else_is_refused) {
    const std::string good = R"({"instruction": "a", "output": "b"})";
    refuses("a.txt", good, "neither .json nor .jsonl");
    refuses("a.json", "", "not valid JSON");
    refuses("a.json", "[]", "no items");
    refuses("a.jsonl", "", "no items");
    refuses("a.json", good, "not an array");
    refuses("a.json", "[" + good + ", 1]", "item 2");
    refuses("a.json", R"([{"instruction": "a"}])", "\"output\" is missing");
    refuses("a.json", R"([{"output": "a"}])", "\"instruction\" is missing");
    refuses("a.json", R"([{"instruction": "a", "output": 7}])", "\"output\" is not a text");
    refuses("a.json", R"([{"instruction": "a", "output": null}])", "\"output\" is not a text");
    refuses("a.json", R"([{"instruction": "a", "output": "b", "label": "c"}])", "\"label\" is not known");
    refuses("a.json", R"([{"instruction": "a", "output": "b\u0000"}])", "holds a NUL");
    refuses("a.json", R"([{"instruction": "a", "output": "b", "output": "c"}])", "occurs twice");
    refuses("a.json", std::string(100000, '['), "nested deeper");
    refuses("a.jsonl", good + "\n\n" + good, "line 2");
    refuses("a.jsonl", good + "\n[" + good + "]", "line 2");
    refuses("a.jsonl", good + "\n\xff\n", "line 2");
    refuses("a.jsonl", good + "\n" + std::string(2000000, ' ') + good, "line 2");
    BOOST_CHECK_THROW(read_instructions("absent.json"), DataError);
}

BOOST_AUTO_TEST_CASE(prompts_are_those_of_alpaca) {
    BOOST_TEST(alpaca_prompt(kSum) ==
               "Below is an instruction that describes a task. Write a response that appropriately completes the "
               "request.\n\n### Instruction:\nWhat is 3 + 4?\n\n### Response:");
    BOOST_TEST(alpaca_prompt(kWithInput) ==
               "Below is an instruction that describes a task, paired with an input that provides further context. "
               "Write a response that appropriately completes the request.\n\n### Instruction:\nAdd the numbers.\n\n"
               "### Input:\n3 and 4 and 5\n\n### Response:");
}

BOOST_AUTO_TEST_CASE(without_input_one_text_is_encoded) {
    const Ids whole = ids_of(alpaca_prompt(kSum) + kSum.output, {.begin = true, .end = true});
    const std::size_t prompt = ids_of(alpaca_prompt(kSum), {.begin = true}).size();
    for (const LabelRule rule : {LabelRule::published, LabelRule::mended}) {
        const InstructionSample sample = encode(kSum, 1000, rule);
        BOOST_TEST((sample.ids == whole));
        for (std::size_t t = 0; t < whole.size(); ++t) {
            BOOST_TEST(int{sample.is_target[t]} == (t >= prompt ? 1 : 0));
        }
    }
    EncodeScratch scratch;
    BOOST_TEST((encode_prompt(kSum, tokenizer(), 1, scratch) == ids_of(alpaca_prompt(kSum), {.begin = true})));
}

BOOST_AUTO_TEST_CASE(with_input_pieces_are_encoded_and_the_input_is_cut) {
    const std::string prompt = alpaca_prompt(kWithInput);
    const std::size_t place = prompt.find(kWithInput.input);
    const Ids before = ids_of(prompt.substr(0, place), {.begin = true});
    const Ids input = ids_of(kWithInput.input);
    const Ids after = ids_of("\n\n### Response:");
    const Ids output = ids_of("12", {.end = true});
    const auto joined = [&](std::size_t kept, bool with_output) {
        Ids ids = before;
        ids.insert(ids.end(), input.begin(), input.begin() + static_cast<std::ptrdiff_t>(kept));
        ids.insert(ids.end(), after.begin(), after.end());
        ids.insert(ids.end(), output.begin(), with_output ? output.end() : output.begin());
        return ids;
    };
    const std::size_t whole = joined(input.size(), true).size();
    EncodeScratch scratch;
    for (std::size_t missing = 0; missing <= input.size(); ++missing) {
        const auto room = static_cast<int>(whole - missing);
        const InstructionSample sample = encode(kWithInput, room, LabelRule::published);
        BOOST_TEST((sample.ids == joined(input.size() - missing, true)));
        BOOST_TEST(targets_of(sample) == output.size());
        BOOST_TEST(int{sample.is_target[sample.ids.size() - output.size()]} == 1);
        const auto prompt_room = static_cast<int>(whole - output.size() - missing);
        BOOST_TEST(
            (encode_prompt(kWithInput, tokenizer(), prompt_room, scratch) == joined(input.size() - missing, false)));
    }
    // A prompt that does not fit without any input is longer than wanted.
    BOOST_TEST((encode_prompt(kWithInput, tokenizer(), 1, scratch) == joined(0, false)));
}

BOOST_AUTO_TEST_CASE(a_sample_that_is_too_long_loses_its_beginning) {
    const Ids whole = ids_of(alpaca_prompt(kSum) + kSum.output, {.begin = true, .end = true});
    const std::size_t output = whole.size() - ids_of(alpaca_prompt(kSum), {.begin = true}).size();
    for (const std::size_t cut : {1U, 3U, 50U}) {
        const auto room = static_cast<int>(whole.size() - cut);
        const Ids expected(whole.begin() + static_cast<std::ptrdiff_t>(cut), whole.end());
        const InstructionSample published = encode(kSum, room, LabelRule::published);
        const InstructionSample mended = encode(kSum, room, LabelRule::mended);
        BOOST_TEST((published.ids == expected));
        BOOST_TEST((mended.ids == expected));
        // As published, the mask stays as long as the uncut prompt and eats into the output.
        BOOST_TEST(targets_of(published) == output - std::min(cut, output));
        BOOST_TEST(targets_of(mended) == output);
        BOOST_TEST(int{mended.is_target[expected.size() - output]} == 1);
    }
    // Not even the output fits: its first kept token has nothing before it.
    BOOST_TEST(targets_of(encode(kSum, 3, LabelRule::mended)) == 2U);
    BOOST_TEST(targets_of(encode(kSum, 3, LabelRule::published)) == 0U);
    BOOST_TEST(targets_of(encode(kSum, 1, LabelRule::mended)) == 0U);
}

BOOST_AUTO_TEST_CASE(id_zero_is_a_target_when_mended_only) {
    // Id 0 of the tiny vocabulary is the byte 0.
    const Instruction item = {"a", "", std::string("b\0c", 3), ""};
    const InstructionSample published = encode(item, 1000, LabelRule::published);
    const InstructionSample mended = encode(item, 1000, LabelRule::mended);
    BOOST_TEST(targets_of(mended) == targets_of(published) + 1);
    const auto place =
        static_cast<std::size_t>(std::find(mended.ids.begin(), mended.ids.end(), 0) - mended.ids.begin());
    BOOST_TEST_REQUIRE(place < mended.ids.size());
    BOOST_TEST(int{mended.is_target[place]} == 1);
    BOOST_TEST(int{published.is_target[place]} == 0);
}

BOOST_AUTO_TEST_CASE(shared_items_are_found_by_their_instruction) {
    const std::vector<Instruction> first = {
        {"a", "", "", ""}, {"b", "", "1", ""}, {"c", "", "", ""}, {"b", "", "", ""}};
    const std::vector<Instruction> second = {
        {"x", "", "", ""}, {"b", "i", "2", ""}, {"b", "", "", ""}, {"A", "", "", ""}};
    const auto shared = find_shared_instructions(first, second);
    BOOST_TEST_REQUIRE(shared.size() == 2U);
    BOOST_TEST(shared[0].first == 1U);
    BOOST_TEST(shared[0].second == 1U);
    BOOST_TEST(shared[1].first == 3U);
    BOOST_TEST(shared[1].second == 1U);
}

// The published files, where LADLE_MATH_DIR (default ../shared/data/math beside the repository) holds them: all items
// of the validation file stand in the test file of GSM8K.
BOOST_AUTO_TEST_CASE(the_published_validation_file_is_test_data) {
    const std::optional<std::string> directory = test::math_directory();
    if (!directory) {
        return;
    }
    const auto items = [&](const std::string& name) { return read_instructions(*directory + "/" + name + ".json"); };
    const auto validation = items("math_14k_validation");
    const auto train = items("gsm8k_train");
    BOOST_TEST(validation.size() == 486U);
    BOOST_TEST(find_shared_instructions(validation, items("gsm8k_test")).size() == 486U);
    BOOST_TEST(find_shared_instructions(train, items("gsm8k_test")).empty());
    for (const char* name : {"AddSub_test", "AQuA_test", "MultiArith_test", "SingleEq_test", "SVAMP_test"}) {
        BOOST_TEST(find_shared_instructions(validation, items(name)).empty());
        BOOST_TEST(find_shared_instructions(train, items(name)).empty());
    }
}

BOOST_AUTO_TEST_SUITE_END()
