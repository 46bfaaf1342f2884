// Hostile GGUF files.
#include "ladle/io/gguf.hpp"

#include <boost/test/unit_test.hpp>

#include "io/names.hpp"
#include "io/scratch.hpp"
#include "support/gguf_bytes.hpp"

namespace {

using namespace gguf_bytes;

constexpr std::uint64_t kHuge = std::uint64_t{1} << 62U;

void read(const std::string& bytes) {
    const Scratch scratch;
    spill(scratch.path("h"), bytes);
    ladle::load_tensors(ladle::open_gguf(scratch.path("h")).tensors);
}

File good() {
    File file;
    file.pairs = {pair("k", kUint32, raw(std::uint32_t{1}))};
    file.tensors = {tensor("a", {4}, 0, 0)};
    file.data = four_floats();
    return file;
}

void refuses(const std::string& bytes, const char* named) {
    BOOST_CHECK_NO_THROW(read(good().bytes()));
    BOOST_CHECK_EXCEPTION(read(bytes), ladle::DataError, names(named));
}

std::string with_pair(const std::string& pair) {
    File file = good();
    file.pairs = {pair};
    return file.bytes();
}

std::string with_tensors(const std::vector<std::string>& tensors, const std::string& data = four_floats()) {
    File file = good();
    file.tensors = tensors;
    file.data = data;
    return file.bytes();
}

std::string counts(std::uint64_t tensors, std::uint64_t pairs) {
    return "GGUF" + raw(std::uint32_t{3}) + raw(tensors) + raw(pairs) + std::string(100, '\0');
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hostile_gguf)

BOOST_AUTO_TEST_CASE(empty_file) {
    refuses("", "not a GGUF file");
}

BOOST_AUTO_TEST_CASE(another_magic) {
    File file = good();
    file.magic = "GGML";
    refuses(file.bytes(), "not a GGUF file");
}

BOOST_AUTO_TEST_CASE(other_versions) {
    for (const std::uint32_t version : {0U, 1U, 2U, 4U, 0x03000000U}) {
        File file = good();
        file.version = version;
        refuses(file.bytes(), "reads version 3");
    }
}

BOOST_AUTO_TEST_CASE(counts_beyond_the_file) {
    refuses(counts(kHuge, 0), "tensors, more than");
    refuses(counts(0, kHuge), "keys, more than");
    refuses(counts(~std::uint64_t{0}, ~std::uint64_t{0}), "tensors, more than");
}

BOOST_AUTO_TEST_CASE(texts_beyond_the_file) {
    refuses(with_pair(pair("t", kString, raw(kHuge) + "abc")), "does not end");
    refuses(with_pair(raw(~std::uint64_t{0})), "does not end");
}

BOOST_AUTO_TEST_CASE(lists_beyond_the_file) {
    refuses(with_pair(pair("l", kArray, list(kUint8, kHuge, ""))), "items of l, more than");
    refuses(with_pair(pair("l", kArray, list(kString, kHuge / 8, ""))), "items of l, more than");
}

BOOST_AUTO_TEST_CASE(lists_of_lists) {
    std::string nested;
    for (int i = 0; i < 100000; ++i) {
        nested += list(kArray, 1, "");
    }
    refuses(with_pair(pair("l", kArray, nested)), "list of values of type 9");
}

BOOST_AUTO_TEST_CASE(unknown_value_types) {
    refuses(with_pair(pair("k", 13, "")), "unknown type 13");
    refuses(with_pair(pair("k", kArray, list(13, 1, ""))), "list of values of type 13");
}

BOOST_AUTO_TEST_CASE(boolean_of_two) {
    refuses(with_pair(pair("k", kBool, "\2")), "neither 0 nor 1");
}

BOOST_AUTO_TEST_CASE(keys_that_are_no_names) {
    refuses(with_pair(pair("", kBool, "\1")), "name of a key");
    refuses(with_pair(pair("\xff", kBool, "\1")), "name of a key");
    refuses(with_pair(pair(std::string("a\0b", 3), kBool, "\1")), "name of a key");
    refuses(with_pair(pair(std::string(257, 'k'), kBool, "\1")), "name of a key");
}

BOOST_AUTO_TEST_CASE(a_key_twice) {
    File file = good();
    file.pairs.push_back(file.pairs[0]);
    refuses(file.bytes(), "occurs twice");
}

BOOST_AUTO_TEST_CASE(a_tensor_twice) {
    refuses(with_tensors({tensor("a", {4}, 0, 0), tensor("a", {4}, 0, 32)}, four_floats() + four_floats()),
            "two tensors");
}

BOOST_AUTO_TEST_CASE(alignments_that_are_none) {
    for (const std::uint32_t alignment : {0U, 1U, 12U, 65544U, 0xfffffff8U}) {
        refuses(with_pair(pair("general.alignment", kUint32, raw(alignment))), "general.alignment");
    }
    refuses(with_pair(pair("general.alignment", kString, text("32"))), "general.alignment");
}

BOOST_AUTO_TEST_CASE(unknown_tensor_type) {
    refuses(with_tensors({tensor("a", {256}, 12, 0)}), "is of type 12");
}

BOOST_AUTO_TEST_CASE(rows_that_are_no_whole_blocks) {
    refuses(with_tensors({tensor("a", {33}, 3, 0)}), "whole blocks");
    refuses(with_tensors({tensor("a", {}, 8, 0)}), "whole blocks");
}

BOOST_AUTO_TEST_CASE(many_dimensions) {
    refuses(with_tensors({tensor("a", {1, 1, 1, 1, 1}, 0, 0)}), "more than 4");
}

BOOST_AUTO_TEST_CASE(huge_extents) {
    refuses(with_tensors({tensor("a", {kHuge}, 0, 0)}), "larger than the file");
    refuses(with_tensors({tensor("a", {~std::uint64_t{0}}, 0, 0)}), "larger than the file");
}

BOOST_AUTO_TEST_CASE(extents_whose_product_overflows) {
    // The file is large enough for each extent, not for their product.
    File file = good();
    file.tensors = {tensor("a", {100000, 100000, 100000, 100000}, 0, 0)};
    file.data = std::string(100000, '\0');
    refuses(file.bytes(), "too many elements");
}

BOOST_AUTO_TEST_CASE(data_beyond_the_file) {
    refuses(with_tensors({tensor("a", {9}, 0, 0)}), "beyond the end");
}

BOOST_AUTO_TEST_CASE(offsets_that_overlap_or_leave_gaps) {
    refuses(with_tensors({tensor("a", {4}, 0, 0), tensor("b", {4}, 0, 0)}), "overlap");
    refuses(with_tensors({tensor("a", {1}, 0, 0), tensor("b", {1}, 0, 4)}), "not aligned");
    refuses(with_tensors({tensor("a", {4}, 0, 32)}, four_floats() + four_floats()), "gap");
    refuses(with_tensors({tensor("a", {4}, 0, ~std::uint64_t{0} - 15)}), "gap");
}

BOOST_AUTO_TEST_CASE(surplus_bytes) {
    refuses(with_tensors({tensor("a", {4}, 0, 0)}, four_floats() + "x"), "belong to no tensor");
}

BOOST_AUTO_TEST_CASE(header_above_32_mib) {
    // Inside a file that is large enough: what is refused is the memory that its values would take.
    const std::uint64_t count = std::uint64_t{33} << 20U;
    File file = good();
    file.pairs = {pair("l", kArray, list(kUint8, count, std::string(count, '\0')))};
    refuses(file.bytes(), "items of l, more than");
}

BOOST_AUTO_TEST_CASE(entries_100_000) {
    File file;
    for (int i = 0; i < 100000; ++i) {
        file.tensors.push_back(tensor("t" + std::to_string(i), {0}, 0, 0));
    }
    BOOST_CHECK_NO_THROW(read(file.bytes()));
}

BOOST_AUTO_TEST_SUITE_END()
