// torch files: golden archive, round trip, damage.
#include <boost/test/unit_test.hpp>
#include <cstring>

#include "ladle/io/pretrained.hpp"
#include "ladle/io/pytorch.hpp"
#include "names.hpp"
#include "scratch.hpp"
#include "support/torch_bytes.hpp"

namespace {

using namespace torch_bytes;

using ladle::DataError;
using ladle::Tensor;

ladle::TensorList read(const std::string& bytes) {
    const Scratch scratch;
    spill(scratch.path("t.bin"), bytes);
    return ladle::read_torch(scratch.path("t.bin"));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pytorch)

BOOST_AUTO_TEST_CASE(golden_archives_are_read) {
    const auto tensors = read(one_tensor({}));
    BOOST_TEST(tensors.size() == 1U);
    BOOST_TEST(tensors[0].first == "a");
    BOOST_TEST((tensors[0].second.shape == ladle::Shape{2, 3}));
    BOOST_TEST(tensors[0].second.to_floats()[5] == 5.0F);
}

BOOST_AUTO_TEST_CASE(views_parameters_memos_and_metadata_are_understood) {
    View transposed;
    transposed.shape = small(3) + small(2) + "\x86";
    transposed.strides = small(1) + small(3) + "\x86";
    View tail;
    tail.offset = small(4);
    tail.shape = small(2) + "\x85";
    tail.strides = small(1) + "\x85";
    View scalar;
    scalar.offset = "M" + raw(std::uint16_t{5});
    scalar.shape = scalar.strides = ")";
    scalar.elements = std::string("\x8a\x01\x06");
    const std::string parameter = "ctorch._utils\n_rebuild_parameter\n(" + tail.pickled() +
                                  "\x88"
                                  "ccollections\nOrderedDict\n)RtR";
    const std::string pickle = std::string("\x80\x02") + "ccollections\nOrderedDict\nq\1)Rr" +
                               raw(std::uint32_t{70000}) + "(" + text("t") + transposed.pickled() + text("p") +
                               parameter + "u" + text("s") + scalar.pickled() + "s}" + text("_metadata") + "h\1)Rsb.";
    const auto tensors = read(archive_of(pickle));
    BOOST_TEST_REQUIRE(tensors.size() == 3U);
    BOOST_TEST(tensors[0].second.to_floats() == (std::vector<float>{0, 3, 1, 4, 2, 5}),
               boost::test_tools::per_element());
    BOOST_TEST(tensors[1].second.to_floats() == (std::vector<float>{4, 5}), boost::test_tools::per_element());
    BOOST_TEST(tensors[2].second.to_floats() == (std::vector<float>{5}), boost::test_tools::per_element());
    BOOST_TEST(tensors[2].second.shape.empty());
}

BOOST_AUTO_TEST_CASE(written_files_come_back_in_order_with_equal_bytes) {
    const Scratch scratch;
    const float values[] = {0, 1, 2, 3, 4, 5};
    const std::int64_t count = std::int64_t{1} << 40U;
    const ladle::TensorList tensors = {{"z", Tensor::from_floats({2, 3}, values)},
                                       {"a", Tensor::from_int64({}, &count)},
                                       {"empty", Tensor::from_floats({0, 3}, values)}};
    ladle::write_torch(scratch.path("a.bin"), tensors);
    ladle::write_torch(scratch.path("b.bin"), tensors);
    BOOST_TEST((slurp(scratch.path("a.bin")) == slurp(scratch.path("b.bin"))));
    const auto read = ladle::read_torch(scratch.path("a.bin"));
    BOOST_TEST_REQUIRE(read.size() == tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        BOOST_TEST(read[i].first == tensors[i].first);
        BOOST_TEST((read[i].second.shape == tensors[i].second.shape));
        BOOST_TEST((read[i].second.bytes == tensors[i].second.bytes));
    }
    // torch maps files into memory: data must lie at multiples of 64 bytes.
    const std::string bytes = slurp(scratch.path("a.bin"));
    BOOST_TEST(bytes.find(six_floats()) % 64 == 0U);
    std::filesystem::rename(scratch.path("a.bin"), scratch.path("pytorch_model.bin"));
    BOOST_TEST(ladle::open_weights(scratch.directory()).tensors.at("z").load().to_floats()[5] == 5.0F);
}

BOOST_AUTO_TEST_CASE(no_truncation_and_no_flipped_bit_gives_other_values) {
    const std::string whole = one_tensor({});
    const auto expected = read(whole);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        BOOST_CHECK_THROW(read(whole.substr(0, size)), DataError);
    }
    for (std::size_t at = 0; at < whole.size(); ++at) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
        try {
            // A flip in a field that carries nothing (a date) may pass, with the values intact.
            const auto tensors = read(damaged);
            BOOST_TEST((tensors.size() == 1 && tensors[0].second.bytes == expected[0].second.bytes));
        } catch (const DataError&) {
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
