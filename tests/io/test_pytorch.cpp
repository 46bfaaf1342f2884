// torch files: golden archive, round trip, every hostile archive and pickle refused.
#include <zlib.h>

#include <boost/test/unit_test.hpp>
#include <cstring>

#include "ladle/io/pretrained.hpp"
#include "ladle/io/pytorch.hpp"
#include "names.hpp"
#include "scratch.hpp"

namespace {

using ladle::DataError;
using ladle::Tensor;

template <class T>
std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string text(const std::string& value) {
    return "X" + raw(static_cast<std::uint32_t>(value.size())) + value;
}

std::string small(int value) {
    return std::string("K") + static_cast<char>(value);
}

/// A zip member as the tests want it, right or wrong.
struct Member {
    std::string name;
    std::string content;
    std::uint16_t method = 0;
    std::uint16_t flags = 0;
    std::string local_name = name;
    std::uint32_t claimed = static_cast<std::uint32_t>(content.size());
    std::uint32_t checksum_change = 0;
};

/// An archive written record by record, independent of the program's own writer.
std::string zip(const std::vector<Member>& members) {
    std::string bytes;
    std::string directory;
    for (const Member& member : members) {
        const auto checksum = static_cast<std::uint32_t>(crc32_z(
                                  0, reinterpret_cast<const Bytef*>(member.content.data()), member.content.size())) ^
                              member.checksum_change;
        const std::string common = raw(std::uint16_t{20}) + raw(member.flags) + raw(member.method) +
                                   raw(std::uint32_t{0}) + raw(checksum) + raw(member.claimed) + raw(member.claimed);
        const auto offset = static_cast<std::uint32_t>(bytes.size());
        bytes += "PK\3\4" + common + raw(static_cast<std::uint16_t>(member.local_name.size())) + raw(std::uint16_t{0}) +
                 member.local_name + member.content;
        directory += "PK\1\2" + raw(std::uint16_t{20}) + common + raw(static_cast<std::uint16_t>(member.name.size())) +
                     std::string(12, '\0') + raw(offset) + member.name;
    }
    const auto count = static_cast<std::uint16_t>(members.size());
    return bytes + directory + "PK\5\6" + raw(std::uint32_t{0}) + raw(count) + raw(count) +
           raw(static_cast<std::uint32_t>(directory.size())) + raw(static_cast<std::uint32_t>(bytes.size())) +
           raw(std::uint16_t{0});
}

/// Operations that leave one tensor on the stack.
struct View {
    std::string type = "FloatStorage";
    std::string storage = "0";
    std::string elements = small(6);
    std::string offset = small(0);
    std::string shape = small(2) + small(3) + "\x86";
    std::string strides = small(3) + small(1) + "\x86";

    std::string pickled() const {
        return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + type + "\n" + text(storage) +
               text("cpu") + elements + "tQ" + offset + shape + strides + "\x89" + "ccollections\nOrderedDict\n)RtR";
    }
};

std::string dictionary(const std::string& items) {
    return "\x80\x02}(" + items + "u.";
}

std::string six_floats() {
    const float values[] = {0, 1, 2, 3, 4, 5};
    return {reinterpret_cast<const char*>(values), sizeof(values)};
}

std::string archive_of(const std::string& pickle) {
    return zip({{"t/data.pkl", pickle}, {"t/data/0", six_floats()}, {"t/version", "3\n"}});
}

ladle::TensorList read(const std::string& bytes) {
    const Scratch scratch;
    spill(scratch.path("t.bin"), bytes);
    return ladle::read_torch(scratch.path("t.bin"));
}

std::string one_tensor(const View& view) {
    return archive_of(dictionary(text("a") + view.pickled()));
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
    BOOST_TEST(ladle::read_weights(scratch.directory()).tensors.at("z").to_floats()[5] == 5.0F);
}

BOOST_AUTO_TEST_CASE(hostile_archives_are_refused) {
    const std::string pickle = dictionary(text("a") + View{}.pickled());
    const Member good{"t/data.pkl", pickle};
    const Member data{"t/data/0", six_floats()};
    const std::string whole = zip({good, data});
    struct Case {
        const char* about;
        std::string bytes;
        const char* named;
    };
    std::string locals = whole;
    locals[14] = 'X';
    const std::vector<Case> cases = {
        {"empty", "", "zip archive"},
        {"text", "this is a text file, not an archive", "zip archive"},
        {"truncated", whole.substr(0, whole.size() - 30), "zip archive"},
        {"legacy", std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8", 12) + std::string(50, 'x'), "1.6"},
        {"compressed", zip({{"t/data.pkl", pickle, 8}, data}), "compressed"},
        {"encrypted", zip({{"t/data.pkl", pickle, 0, 1}, data}), "encrypted"},
        {"duplicate name", zip({good, data, data}), "twice"},
        {"parent folder", zip({good, {"t/../data/0", six_floats()}}), "top folder"},
        {"absolute path", zip({good, {"/t/data/0", six_floats()}}), "top folder"},
        {"two folders", zip({good, {"u/data/0", six_floats()}}), "top folder"},
        {"local name differs", zip({good, {"t/data/0", six_floats(), 0, 0, "t/data/1"}}), "disagree"},
        {"local checksum differs", locals, "disagree"},
        {"size beyond the file", zip({good, {"t/data/0", "", 0, 0, "t/data/0", 100000}}), "reaches beyond"},
        {"members overlap",
         zip({{"t/data.pkl", pickle, 0, 0, "t/data.pkl", static_cast<std::uint32_t>(pickle.size() + 9)}, data}),
         "overlap"},
        {"wrong checksum", zip({good, {"t/data/0", six_floats(), 0, 0, "t/data/0", 24, 1}}), "checksum"},
        {"no pickle", zip({data}), "data.pkl"},
        {"no storage", zip({good}), "data/0"},
        {"big endian", zip({good, data, {"t/byteorder", "big"}}), "big-endian"},
    };
    for (const Case& hostile : cases) {
        BOOST_TEST_CONTEXT(hostile.about) {
            BOOST_CHECK_EXCEPTION(read(hostile.bytes), DataError, names(hostile.named));
        }
    }
    BOOST_CHECK_NO_THROW(read(whole));
}

BOOST_AUTO_TEST_CASE(hostile_pickles_are_refused_and_never_run) {
    const std::string a = text("a");
    const auto with = [](auto change) {
        View view;
        change(view);
        return one_tensor(view);
    };
    struct Case {
        const char* about;
        std::string bytes;
        const char* named;
    };
    const std::string big = std::string("\x8a\x08") + raw(std::int64_t{1} << 62U);
    const std::vector<Case> cases = {
        {"system call",
         archive_of("\x80\x02"
                    "cposix\nsystem\n(" +
                    text("touch /tmp/ladle-owned") + "tR."),
         "posix.system"},
        {"builtins", archive_of(dictionary(a + "cbuiltins\neval\n")), "builtins.eval"},
        {"a submodule of torch", archive_of(dictionary(a + "ctorch\nload\n")), "torch.load"},
        {"INST", archive_of("\x80\x02(iposix\nsystem\n."), "operation 105"},
        {"STACK_GLOBAL", archive_of("\x80\x02" + text("posix") + text("system") + "\x93."), "operation 147"},
        {"protocol 4", archive_of("\x80\x04}."), "protocol 4"},
        {"nothing", archive_of(""), "ends early"},
        {"cut text", archive_of("\x80\x02X" + raw(std::uint32_t{0xffffffff}) + "abc"), "ends early"},
        {"no mark", archive_of("\x80\x02}u."), "mark"},
        {"empty stack", archive_of("\x80\x02R."), "nothing on the stack"},
        {"unknown memo", archive_of("\x80\x02h\7."), "never stored"},
        {"a tensor alone", archive_of("\x80\x02" + View{}.pickled() + "."), "wrong kind"},
        {"a nested dictionary", archive_of(dictionary(a + "}")), "\"a\" is not a tensor"},
        {"key without value", archive_of(dictionary(a)), "no value"},
        {"surplus after the end", archive_of(dictionary(a + View{}.pickled()) + "x"), "follows"},
        {"same name twice", archive_of(dictionary(a + View{}.pickled() + a + View{}.pickled())), "twice"},
        {"a dictionary in itself", archive_of("\x80\x02}q\1(" + a + "h\1u."), "not a tensor"},
        {"deep tuples", archive_of("\x80\x02)" + std::string(1000, '\x85') + "."), "deeply"},
        {"offset outside", with([](View& v) { v.offset = small(1); }), "outside"},
        {"negative offset", with([](View& v) { v.offset = "J" + raw(std::int32_t{-1}); }), "offset"},
        {"huge offset", with([&](View& v) { v.offset = big; }), "outside"},
        {"stride outside", with([](View& v) { v.strides = small(4) + small(1) + "\x86"; }), "outside"},
        {"huge stride", with([&](View& v) { v.strides = big + small(1) + "\x86"; }), "outside"},
        {"negative stride", with([](View& v) { v.strides = "J" + raw(std::int32_t{-3}) + small(1) + "\x86"; }),
         "strides"},
        {"expanded", with([](View& v) {
             v.shape = small(200) + small(200) + "\x86";
             v.strides = small(0) + small(0) + "\x86";
         }),
         "outside"},
        {"overflowing shape", with([&](View& v) { v.shape = big + big + "\x86"; }), "too many elements"},
        {"storage too short", with([](View& v) { v.elements = small(7); }), "stated number"},
        {"other type than stored", with([](View& v) { v.type = "DoubleStorage"; }), "stated number"},
        {"storage elsewhere", with([](View& v) { v.storage = "../version"; }), "data/../version"},
    };
    for (const Case& hostile : cases) {
        BOOST_TEST_CONTEXT(hostile.about) {
            BOOST_CHECK_EXCEPTION(read(hostile.bytes), DataError, names(hostile.named));
        }
    }
    BOOST_TEST(!std::filesystem::exists("/tmp/ladle-owned"));
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
