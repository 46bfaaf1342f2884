// SentencePiece tokenizers, which are not read, are recognised in every layout.
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "io/names.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/text/decoder_tokenizer.hpp"
#include "support/token_cases.hpp"

using namespace ladle;
using nlohmann::json;

namespace {

constexpr const char* kNamed = "a SentencePiece tokenizer";

}  // namespace

BOOST_AUTO_TEST_SUITE(sentence_piece)

BOOST_AUTO_TEST_CASE(model_files) {
    const auto dir = token_test::fresh_dir("decoder");
    // The first two pieces of LLaMA 2's file: <unk> with score 0 and type unknown, <s> of type control.
    const std::string pieces("\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02\n\x0c\n\x03<s>\x15\0\0\0\0\x18\x03", 30);
    token_test::write_text(dir / "tokenizer.model", pieces);
    BOOST_CHECK_EXCEPTION(load_rank_tokenizer((dir / "tokenizer.model").string()), DataError, names(kNamed));
    token_test::write_text(dir / "tokenizer.model", "\nYQ== 0\n");
    BOOST_CHECK_EXCEPTION(load_rank_tokenizer((dir / "tokenizer.model").string()), DataError, names("line 1"));
}

BOOST_AUTO_TEST_CASE(directories_with_bytes_to_fall_back_on) {
    const json content = read_json_file((token_test::fixture_dir() / "decoder_llama3.json").string());
    json file = content["tokenizer"];
    file["model"]["byte_fallback"] = true;
    file["pre_tokenizer"] = nullptr;
    const auto dir = token_test::fresh_dir("decoder");
    token_test::write_text(dir / "tokenizer.json", file.dump());
    token_test::write_text(dir / "tokenizer_config.json", content["config"].dump());
    BOOST_CHECK_EXCEPTION(load_llama_tokenizer(dir.string()), DataError, names(kNamed));
}

BOOST_AUTO_TEST_CASE(metadata_of_gguf_files) {
    const json metadata = {{"tokenizer.ggml.model", "llama"}};
    BOOST_CHECK_EXCEPTION(make_gguf_tokenizer(metadata, "m.gguf"), DataError, names(kNamed));
}

BOOST_AUTO_TEST_SUITE_END()
