// Hostile safetensors files.
#include "ladle/io/safetensors.hpp"

#include <boost/test/unit_test.hpp>
#include <cstring>

#include "io/names.hpp"
#include "io/scratch.hpp"

namespace {

const std::string data(16, '\x3f');
const std::string good = R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})";

std::string with_header(const std::string& header, const std::string& content) {
    std::string bytes(8, '\0');
    const std::uint64_t size = header.size();
    std::memcpy(bytes.data(), &size, sizeof(size));
    return bytes + header + content;
}

void read(const std::string& bytes) {
    const Scratch scratch;
    spill(scratch.path("h"), bytes);
    ladle::read_safetensors(scratch.path("h"));
}

void refuses(const std::string& bytes, const char* named) {
    BOOST_CHECK_NO_THROW(read(with_header(good, data)));
    BOOST_CHECK_EXCEPTION(read(bytes), ladle::DataError, names(named));
}

std::string nested(std::size_t levels) {
    return R"({"a":)" + std::string(levels, '[') + std::string(levels, ']') + "}";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hostile_safetensors)

BOOST_AUTO_TEST_CASE(empty_file) {
    refuses("", "ends before");
}

BOOST_AUTO_TEST_CASE(seven_bytes) {
    refuses("1234567", "ends before");
}

BOOST_AUTO_TEST_CASE(header_length_2_63) {
    refuses(std::string(7, '\0') + '\x80' + good + data, "claims");
}

BOOST_AUTO_TEST_CASE(header_length_beyond_the_file) {
    refuses(std::string("\x7f\0\0\0\0\0\0\0", 8) + good, "claims");
}

BOOST_AUTO_TEST_CASE(no_json) {
    refuses(with_header("hello", data), "start with {");
}

BOOST_AUTO_TEST_CASE(leading_blanks) {
    refuses(with_header(" " + good, data), "start with {");
}

BOOST_AUTO_TEST_CASE(cut_json) {
    refuses(with_header(good.substr(0, 20), data), "JSON");
}

BOOST_AUTO_TEST_CASE(text_after_the_object) {
    refuses(with_header(good + "x", data), "JSON");
}

BOOST_AUTO_TEST_CASE(bad_utf8) {
    refuses(with_header("{\"\xff\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", data), "JSON");
}

BOOST_AUTO_TEST_CASE(deep_json) {
    refuses(with_header(nested(100000), data), "nested");
}

BOOST_AUTO_TEST_CASE(duplicate_keys) {
    refuses(with_header(good.substr(0, good.size() - 1) + "," + good.substr(1), data), "twice");
}

BOOST_AUTO_TEST_CASE(metadata_number) {
    refuses(with_header(R"({"__metadata__":{"n":1}})", ""), "not a string");
}

BOOST_AUTO_TEST_CASE(unknown_type) {
    refuses(with_header(R"({"a":{"dtype":"F4","shape":[4],"data_offsets":[0,16]}})", data), "F4");
}

BOOST_AUTO_TEST_CASE(negative_dims) {
    refuses(with_header(R"({"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}})", data), "whole");
}

BOOST_AUTO_TEST_CASE(fraction) {
    refuses(with_header(R"({"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}})", data), "whole");
}

BOOST_AUTO_TEST_CASE(shape_x_dtype_overflow) {
    refuses(with_header(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}})", data),
            "larger");
}

BOOST_AUTO_TEST_CASE(offset_2_64) {
    refuses(with_header(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,18446744073709551616]}})", data), "whole");
}

BOOST_AUTO_TEST_CASE(shape_and_offsets_disagree) {
    refuses(with_header(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}})", data), "do not fit");
}

BOOST_AUTO_TEST_CASE(reversed_offsets) {
    refuses(with_header(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}})", data), "do not fit");
}

BOOST_AUTO_TEST_CASE(surplus_key) {
    refuses(with_header(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":1}})", data), "exactly");
}

BOOST_AUTO_TEST_CASE(hole) {
    refuses(with_header(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[4,16]}})", data), "gap");
}

BOOST_AUTO_TEST_CASE(overlap) {
    refuses(with_header(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[2],)"
                        R"("data_offsets":[8,16]}})",
                        data),
            "overlap");
}

BOOST_AUTO_TEST_CASE(trailing_bytes) {
    refuses(with_header(good, data + "x"), "belong to no tensor");
}

BOOST_AUTO_TEST_CASE(truncated_data) {
    refuses(with_header(good, data.substr(0, 12)), "truncated");
}

BOOST_AUTO_TEST_CASE(header_above_32_mib) {
    // Inside a file that is large enough: what is refused is the memory that parsing would take.
    refuses(with_header(std::string((std::size_t{32} << 20U) + 1, ' '), data), "claims");
}

BOOST_AUTO_TEST_CASE(nul_in_a_name) {
    refuses(with_header(R"({"a\u0000b":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", data), "NUL");
}

BOOST_AUTO_TEST_CASE(extents_whose_product_overflows) {
    refuses(
        with_header(R"({"a":{"dtype":"F32","shape":[2147483647,2147483647,2147483647],"data_offsets":[0,16]}})", data),
        "too many elements");
}

BOOST_AUTO_TEST_CASE(many_dimensions) {
    std::string shape = "1";
    for (int i = 0; i < 32; ++i) {
        shape += ",1";
    }
    refuses(with_header(R"({"a":{"dtype":"F32","shape":[)" + shape + R"(],"data_offsets":[0,4]}})", data),
            "right length");
}

BOOST_AUTO_TEST_CASE(zero_size_tensor_is_no_attack) {
    const std::string empty = R"({"a":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}})";
    BOOST_CHECK_NO_THROW(read(with_header(empty, "")));
}

BOOST_AUTO_TEST_CASE(entries_100_000) {
    std::string header = "{";
    for (int i = 0; i < 100000; ++i) {
        header += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" +
                  std::to_string(i) + "," + std::to_string(i + 1) + "]}";
    }
    BOOST_CHECK_NO_THROW(read(with_header(header + "}", std::string(100000, 'x'))));
}

BOOST_AUTO_TEST_SUITE_END()
