// safetensors: golden bytes, round trip, model directories.
#include <boost/test/unit_test.hpp>
#include <cstring>

#include "ladle/io/pretrained.hpp"
#include "ladle/io/safetensors.hpp"
#include "names.hpp"
#include "scratch.hpp"

namespace {

using ladle::DataError;
using ladle::DType;
using ladle::Tensor;

std::string with_header(const std::string& header, const std::string& data) {
    std::string bytes(8, '\0');
    const std::uint64_t size = header.size();
    std::memcpy(bytes.data(), &size, sizeof(size));
    return bytes + header + data;
}

std::string four_floats() {
    const float values[] = {1.0F, -2.5F, 0.0F, 3.0F};
    return {reinterpret_cast<const char*>(values), sizeof(values)};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(safetensors)

BOOST_AUTO_TEST_CASE(golden_file_is_read) {
    const Scratch scratch;
    // Order in the header differs from the order of the data; one scalar, one empty tensor; blanks at the end.
    const std::string header =
        R"({"b":{"dtype":"F32","shape":[],"data_offsets":[12,16]},"__metadata__":{"k":"v"},)"
        R"("e":{"dtype":"I64","shape":[0,4],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[1,3],"data_offsets":[0,12]}}   )";
    spill(scratch.path("g"), with_header(header, four_floats()));
    const auto file = ladle::read_safetensors(scratch.path("g"));
    BOOST_TEST(file.tensors.size() == 3U);
    BOOST_TEST(file.metadata.at("k") == "v");
    BOOST_TEST(file.tensors.at("a").to_floats()[1] == -2.5F);
    BOOST_TEST(file.tensors.at("b").to_floats()[0] == 3.0F);
    BOOST_TEST(file.tensors.at("b").shape.empty());
    BOOST_TEST(file.tensors.at("e").elements() == 0U);
    BOOST_TEST(ladle::read_safetensors_header(scratch.path("g")).tensors.at("a").shape[1] == 3);
}

BOOST_AUTO_TEST_CASE(written_bytes_are_as_documented) {
    const Scratch scratch;
    const float values[] = {1.0F, -2.5F, 0.0F, 3.0F};
    ladle::write_safetensors(scratch.path("w"), {{"x", Tensor::from_floats({2, 2}, values)}}, {{"ladle.schema", "s"}});
    std::string header =
        R"({"__metadata__":{"format":"pt","ladle.schema":"s"},"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    BOOST_TEST((slurp(scratch.path("w")) == with_header(header, four_floats())));
}

BOOST_AUTO_TEST_CASE(every_type_survives_a_round_trip) {
    const Scratch scratch;
    ladle::TensorList tensors;
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i64, DType::i32, DType::u16,
                              DType::u8, DType::boolean}) {
        Tensor tensor{dtype, {3}, {}};
        tensor.bytes.assign(3 * ladle::dtype_bytes(dtype), std::byte{1});
        tensors.emplace_back(ladle::dtype_name(dtype), tensor);
    }
    ladle::write_safetensors(scratch.path("t"), tensors, {});
    const auto read = ladle::read_safetensors(scratch.path("t")).tensors;
    BOOST_TEST(read.size() == tensors.size());
    for (const auto& [name, tensor] : tensors) {
        BOOST_TEST((read.at(name).dtype == tensor.dtype && read.at(name).bytes == tensor.bytes));
    }
}

BOOST_AUTO_TEST_CASE(directories_are_read_whichever_way_they_are_stored) {
    const Scratch scratch;
    BOOST_CHECK_EXCEPTION(ladle::open_weights(scratch.directory()), DataError, names("neither"));
    const float one = 1.0F;
    const float two = 2.0F;
    ladle::write_safetensors(scratch.path("p-1.safetensors"), {{"a", Tensor::from_floats({1}, &one)}}, {});
    ladle::write_safetensors(scratch.path("p-2.safetensors"), {{"b", Tensor::from_floats({1}, &two)}}, {});
    const auto write_index = [&](const std::string& map) {
        spill(scratch.path("model.safetensors.index.json"), R"({"weight_map":)" + map + "}");
    };
    write_index(R"({"a":"p-1.safetensors","b":"p-2.safetensors"})");
    const auto weights = ladle::open_weights(scratch.directory());
    BOOST_TEST(weights.tensors.at("b").load().to_floats()[0] == 2.0F);
    BOOST_TEST(weights.digest.size() == 64U);
    write_index(R"({"a":"p-1.safetensors","b":"p-2.safetensors","c":"p-2.safetensors"})");
    BOOST_CHECK_EXCEPTION(ladle::open_weights(scratch.directory()), DataError, names("tensor c is missing"));
    write_index(R"({"a":"p-1.safetensors","c":"p-2.safetensors"})");
    BOOST_CHECK_EXCEPTION(ladle::open_weights(scratch.directory()), DataError, names("tensor b is not listed"));
    write_index(R"({"a":"../p-1.safetensors"})");
    BOOST_CHECK_EXCEPTION(ladle::open_weights(scratch.directory()), DataError, names("same directory"));
    ladle::write_safetensors(scratch.path("model.safetensors"), {{"w", Tensor::from_floats({1}, &two)}}, {});
    BOOST_TEST(ladle::open_weights(scratch.directory()).tensors.contains("w"));
}

BOOST_AUTO_TEST_SUITE_END()
