// Instruction data: questions with their answers as JSON, the Alpaca prompt around them, and the tokens that a decoder
// is trained on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ladle/text/decoder_tokenizer.hpp"

namespace ladle {

struct Instruction {
    std::string instruction;
    std::string input;   ///< further context; empty: none
    std::string output;  ///< what is to be learned
    std::string answer;  ///< what an evaluation compares with; empty: not given
};

/// Reads a .json file (an array of objects, up to 64 MiB) or a .jsonl file (an object per line, up to 1 MiB each). An
/// object has texts under instruction and output, and may have input and answer. Throws DataError naming file and item
/// for any other key, value or ending, and for an empty file.
std::vector<Instruction> read_instructions(const std::string& path);

/// An item with what a model made of its prompt.
struct AnsweredInstruction {
    Instruction item;
    std::string generated;
};

/// Reads a .json or .jsonl file as read_instructions does, of objects that also have a text under generate.
std::vector<AnsweredInstruction> read_answers(const std::string& path);

/// A line of such a .jsonl file, with the keys of the published program. Bytes that are not UTF-8 become U+FFFD.
std::string answer_json(const AnsweredInstruction& answer);

/// The Alpaca prompt, which ends in "### Response:". Source: Stanford Alpaca repository, train.py, PROMPT_DICT.
std::string alpaca_prompt(const Instruction& item);

/// published: where a sample is longer than allowed, its beginning is cut off but as many tokens as the uncut prompt
/// has stay masked, so that the output's first tokens are masked as well; and id 0 is never a target, whatever it
/// means. mended: the mask follows the cut, and nothing but the mask decides. Source: MoA repository, data/dataset.py.
enum class LabelRule { published, mended };

struct InstructionSample {
    std::vector<std::int32_t> ids;        ///< [T] begin of text, prompt, output, end of text
    std::vector<std::uint8_t> is_target;  ///< [T] 1: the loss counts the prediction of this token from those before it
};

/// One sample of at most `max_tokens` (> 0) tokens. Without input, prompt + output are encoded as one text, and the
/// prompt alone for its length. With input, the pieces before, input, after and output are encoded one by one, and the
/// end of the input is cut off so that all fits. What is still longer loses its beginning.
/// Source: MoA repository, data/dataset.py.
InstructionSample encode_instruction(const Instruction& item, const DecoderTokenizer& tokenizer, int max_tokens,
                                     LabelRule rule, EncodeScratch& scratch);

/// The prompt alone with begin of text, to generate from. With input, its end is cut off so that the prompt has at most
/// `max_tokens` tokens, as far as that goes; without, it is never cut.
std::vector<std::int32_t> encode_prompt(const Instruction& item, const DecoderTokenizer& tokenizer, int max_tokens,
                                        EncodeScratch& scratch);

/// An item of one file whose instruction stands in another file, too.
struct SharedInstruction {
    std::size_t first;   ///< place in the first file
    std::size_t second;  ///< first place in the second
};

/// The items of `first` whose instruction text is that of an item of `second`, in order. A model that is trained or
/// selected on one must not be judged on the other.
std::vector<SharedInstruction> find_shared_instructions(const std::vector<Instruction>& first,
                                                        const std::vector<Instruction>& second);

/// One line for the user that says how many items of the file `judged` stand in the file `learned`; empty for none.
std::string shared_items_warning(const std::string& judged, const std::vector<Instruction>& judged_items,
                                 const std::string& learned, const std::vector<Instruction>& learned_items);

}  // namespace ladle
