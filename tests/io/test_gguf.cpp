// GGUF: metadata, plain and quantised tensors, reading in pieces.
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <cstring>

#include "ladle/io/gguf.hpp"
#include "names.hpp"
#include "scratch.hpp"
#include "support/gguf_bytes.hpp"

namespace {

using namespace gguf_bytes;

ladle::GgufFile open(const std::string& bytes) {
    const Scratch scratch;
    spill(scratch.path("m.gguf"), bytes);
    return ladle::open_gguf(scratch.path("m.gguf"));
}

std::vector<float> floats_of(const std::vector<std::byte>& bytes) {
    std::vector<float> values(bytes.size() / sizeof(float));
    if (!bytes.empty()) {
        std::memcpy(values.data(), bytes.data(), bytes.size());
    }
    return values;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gguf)

BOOST_AUTO_TEST_CASE(metadata_of_every_type_are_read) {
    File file;
    file.pairs = {pair("u8", 0, raw(std::uint8_t{200})),
                  pair("i8", 1, raw(std::int8_t{-3})),
                  pair("u16", 2, raw(std::uint16_t{65535})),
                  pair("i16", 3, raw(std::int16_t{-300})),
                  pair("u32", 4, raw(std::uint32_t{4000000000})),
                  pair("i32", 5, raw(std::int32_t{-5})),
                  pair("f32", 6, raw(0.5F)),
                  pair("yes", 7, "\1"),
                  pair("text", 8, text("caf\xc3\xa9")),
                  pair("words", 9, list(kString, 2, text("a b") + text(""))),
                  pair("none", 9, list(kInt32, 0, "")),
                  pair("u64", 10, raw(std::uint64_t{1} << 63U)),
                  pair("i64", 11, raw(std::int64_t{-1})),
                  pair("f64", 12, raw(1e-300))};
    const auto metadata = open(file.bytes()).metadata;
    const nlohmann::json expected = {{"u8", 200},
                                     {"i8", -3},
                                     {"u16", 65535},
                                     {"i16", -300},
                                     {"u32", 4000000000},
                                     {"i32", -5},
                                     {"f32", 0.5},
                                     {"yes", true},
                                     {"text", "caf\xc3\xa9"},
                                     {"words", {"a b", ""}},
                                     {"none", nlohmann::json::array()},
                                     {"u64", std::uint64_t{1} << 63U},
                                     {"i64", -1},
                                     {"f64", 1e-300}};
    BOOST_TEST(metadata == expected);
}

BOOST_AUTO_TEST_CASE(plain_tensors_keep_their_type_and_turn_their_dimensions) {
    File file;
    file.tensors = {tensor("h", {2}, 1, 32), tensor("f", {2, 1, 2}, 0, 0), tensor("b", {1}, 30, 64)};
    file.data = four_floats() + raw(std::uint16_t{0x3c00}) + raw(std::uint16_t{0xc100}) + std::string(28, '\0') +
                raw(std::uint16_t{0x4040});
    const auto tensors = open(file.bytes()).tensors;
    BOOST_TEST(tensors.size() == 3U);
    BOOST_TEST((tensors.at("f").shape == ladle::Shape{2, 1, 2}));
    BOOST_TEST(tensors.at("f").load().to_floats() == (std::vector<float>{1, -2.5, 0, 3}),
               boost::test_tools::per_element());
    BOOST_TEST((tensors.at("h").dtype == ladle::DType::f16));
    BOOST_TEST(tensors.at("h").load().to_floats() == (std::vector<float>{1, -2.5}), boost::test_tools::per_element());
    BOOST_TEST((tensors.at("b").dtype == ladle::DType::bf16));
    BOOST_TEST(tensors.at("b").load().to_floats()[0] == 3.0F);
}

BOOST_AUTO_TEST_CASE(quantised_blocks_become_floats_in_any_piece) {
    File file;
    file.tensors = {tensor("q4", {32, 2}, 3, 0), tensor("q8", {32}, 8, 64)};
    file.data = q4_1_block() + q4_1_block() + std::string(24, '\0') + q8_0_block();
    const auto tensors = open(file.bytes()).tensors;
    const ladle::StoredTensor& q4 = tensors.at("q4");
    BOOST_TEST((q4.shape == ladle::Shape{2, 32} && q4.dtype == ladle::DType::f32));
    const std::vector<float> whole = q4.load().to_floats();
    for (std::size_t i = 0; i < 64; ++i) {
        const auto place = static_cast<int>(i % 32);
        const int q = place < 16 ? place : 31 - place;
        BOOST_TEST(whole[i] == 0.5F * static_cast<float>(q) - 1.0F);
    }
    for (std::size_t first = 0; first <= 64; ++first) {
        for (std::size_t count = 0; first + count <= 64; count += 5) {
            const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(first);
            BOOST_TEST((floats_of(q4.read(first, count)) ==
                        std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(count))));
        }
    }
    const std::vector<float> bytes = tensors.at("q8").load().to_floats();
    for (int i = 0; i < 32; ++i) {
        BOOST_TEST(bytes[static_cast<std::size_t>(i)] == 0.25F * static_cast<float>(i - 16));
    }
}

BOOST_AUTO_TEST_CASE(another_alignment_is_followed) {
    File file;
    file.alignment = 64;
    file.pairs = {pair("general.alignment", kUint32, raw(std::uint32_t{64}))};
    file.tensors = {tensor("a", {4}, 0, 0), tensor("b", {1}, 0, 64)};
    file.data = four_floats() + std::string(32, '\0') + raw(7.0F);
    BOOST_TEST(open(file.bytes()).tensors.at("b").load().to_floats()[0] == 7.0F);
}

BOOST_AUTO_TEST_CASE(no_truncation_is_read) {
    File file;
    file.pairs = {pair("k", kString, text("v"))};
    file.tensors = {tensor("a", {4}, 0, 0), tensor("q", {32}, 8, 32)};
    file.data = four_floats() + q8_0_block();
    const std::string whole = file.bytes();
    BOOST_CHECK_NO_THROW(open(whole));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        BOOST_CHECK_THROW(open(whole.substr(0, size)), ladle::DataError);
    }
}

BOOST_AUTO_TEST_SUITE_END()
