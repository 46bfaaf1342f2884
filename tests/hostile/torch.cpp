// Hostile files of torch.save: zip archives and pickles.
#include <boost/test/unit_test.hpp>

#include "io/names.hpp"
#include "io/pickle_reader.hpp"
#include "io/scratch.hpp"
#include "ladle/io/pytorch.hpp"
#include "support/torch_bytes.hpp"

namespace {

using namespace std::string_literals;
using namespace torch_bytes;

const std::string a = text("a");
const std::string big = std::string("\x8a\x08") + raw(std::int64_t{1} << 62U);
const std::string pickle = dictionary(a + View{}.pickled());
const Member good{"t/data.pkl", pickle};
const Member data{"t/data/0", six_floats()};
const std::string whole = zip({good, data});

void read(const std::string& bytes) {
    const Scratch scratch;
    spill(scratch.path("t.bin"), bytes);
    ladle::read_torch(scratch.path("t.bin"));
}

void refuses(const std::string& bytes, const char* named) {
    BOOST_CHECK_NO_THROW(read(whole));
    BOOST_CHECK_EXCEPTION(read(bytes), ladle::DataError, names(named));
}

template <class Change>
std::string with(Change change) {
    View view;
    change(view);
    return one_tensor(view);
}

/// Reads the dictionary under "model" of an archive.
void read_model(const std::string& pickle) {
    const Scratch scratch;
    spill(scratch.path("t.pth"), archive_of(pickle));
    for (const auto& [name, tensor] : ladle::open_torch_entry(scratch.path("t.pth"), "model")) {
        tensor.load();
    }
}

const std::string model = text("model") + "}(" + text("w") + View{}.pickled() + "u";

void refuses_model(const std::string& items, const char* named) {
    BOOST_CHECK_NO_THROW(read_model(dictionary(model)));
    BOOST_CHECK_EXCEPTION(read_model(dictionary(items)), ladle::DataError, names(named));
}

/// The arguments under "args" of an archive.
nlohmann::json read_arguments(const std::string& items) {
    const Scratch scratch;
    spill(scratch.path("t.pth"), archive_of(dictionary(items)));
    return ladle::read_torch_arguments(scratch.path("t.pth"), "args");
}

const std::string name_space = "cargparse\nNamespace\n";

std::string put_at(std::string bytes, std::size_t at, const std::string& change) {
    return bytes.replace(at, change.size(), change);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hostile_torch_archive)

BOOST_AUTO_TEST_CASE(empty_file) {
    refuses("", "zip archive");
}

BOOST_AUTO_TEST_CASE(plain_text) {
    refuses("this is a text file, not an archive", "zip archive");
}

BOOST_AUTO_TEST_CASE(truncated) {
    refuses(whole.substr(0, whole.size() - 30), "zip archive");
}

BOOST_AUTO_TEST_CASE(format_before_torch_1_6) {
    refuses(std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8", 12) + std::string(50, 'x'), "1.6");
}

BOOST_AUTO_TEST_CASE(compressed_member) {
    refuses(zip({{"t/data.pkl", pickle, 8}, data}), "compressed");
}

BOOST_AUTO_TEST_CASE(encrypted_member) {
    refuses(zip({{"t/data.pkl", pickle, 0, 1}, data}), "encrypted");
}

BOOST_AUTO_TEST_CASE(duplicate_names) {
    refuses(zip({good, data, data}), "twice");
}

BOOST_AUTO_TEST_CASE(dot_dot_in_a_name) {
    refuses(zip({good, {"t/../data/0", six_floats()}}), "top folder");
}

BOOST_AUTO_TEST_CASE(absolute_path) {
    refuses(zip({good, {"/t/data/0", six_floats()}}), "top folder");
}

BOOST_AUTO_TEST_CASE(two_top_folders) {
    refuses(zip({good, {"u/data/0", six_floats()}}), "top folder");
}

BOOST_AUTO_TEST_CASE(local_name_differs) {
    refuses(zip({good, {"t/data/0", six_floats(), 0, 0, "t/data/1"}}), "disagree");
}

BOOST_AUTO_TEST_CASE(local_checksum_differs) {
    std::string locals = whole;
    locals[14] = 'X';
    refuses(locals, "disagree");
}

BOOST_AUTO_TEST_CASE(size_beyond_the_file) {
    refuses(zip({good, {"t/data/0", "", 0, 0, "t/data/0", 100000}}), "reaches beyond");
}

BOOST_AUTO_TEST_CASE(members_overlap) {
    refuses(zip({{"t/data.pkl", pickle, 0, 0, "t/data.pkl", static_cast<std::uint32_t>(pickle.size() + 9)}, data}),
            "overlap");
}

BOOST_AUTO_TEST_CASE(wrong_checksum) {
    refuses(zip({good, {"t/data/0", six_floats(), 0, 0, "t/data/0", 24, 1}}), "checksum");
}

BOOST_AUTO_TEST_CASE(no_pickle) {
    refuses(zip({data}), "data.pkl");
}

BOOST_AUTO_TEST_CASE(no_storage) {
    refuses(zip({good}), "data/0");
}

BOOST_AUTO_TEST_CASE(big_endian) {
    refuses(zip({good, data, {"t/byteorder", "big"}}), "big-endian");
}

BOOST_AUTO_TEST_CASE(local_flags_differ) {
    refuses(put_at(whole, 6, "\1"), "disagree");
}

BOOST_AUTO_TEST_CASE(local_packed_size_differs) {
    refuses(put_at(whole, 18, "\1"), "disagree");
}

BOOST_AUTO_TEST_CASE(zip64_sizes_without_their_field) {
    refuses(put_at(whole, 18, "\xff\xff\xff\xff\xff\xff\xff\xff"), "disagree");
}

BOOST_AUTO_TEST_CASE(zip64_directory_beyond_the_file) {
    const std::string locator = "PK\6\7" + raw(std::uint32_t{0}) + raw(std::uint64_t{1} << 62U) + raw(std::uint32_t{1});
    refuses(whole.substr(0, whole.size() - 22) + locator + whole.substr(whole.size() - 22), "ends before");
}

BOOST_AUTO_TEST_CASE(second_directory_before_the_end) {
    // The end record points at the first of two directories; other programs may take the second one.
    const std::string directory = whole.substr(whole.find("PK\1\2"), whole.size() - 22 - whole.find("PK\1\2"));
    refuses(whole.substr(0, whole.size() - 22) + directory + whole.substr(whole.size() - 22), "where it should");
}

BOOST_AUTO_TEST_CASE(directory_of_65535_members) {
    refuses(put_at(whole, whole.size() - 14, "\xff\xff\xff\xff"), "directory");
}

BOOST_AUTO_TEST_CASE(storages_by_turns) {
    // Each tensor is small and its storage large: reading them by turns takes time without end.
    View first;
    View second;
    first.elements = second.elements = "J" + raw(std::int32_t{250000});
    second.storage = "1";
    std::string items;
    for (int i = 0; i < 400; ++i) {
        items += text("a" + std::to_string(i)) + first.pickled() + text("b" + std::to_string(i)) + second.pickled();
    }
    const std::string storage(1000000, '\0');
    refuses(zip({{"t/data.pkl", dictionary(items)}, {"t/data/0", storage}, {"t/data/1", storage}}), "by turns");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(hostile_pickle)

BOOST_AUTO_TEST_CASE(global_posix_system) {
    refuses(archive_of("\x80\x02"
                       "cposix\nsystem\n(" +
                       text("touch /tmp/ladle-owned") + "tR."),
            "posix.system");
}

BOOST_AUTO_TEST_CASE(builtins) {
    refuses(archive_of(dictionary(a + "cbuiltins\neval\n")), "builtins.eval");
}

BOOST_AUTO_TEST_CASE(a_submodule_of_torch) {
    refuses(archive_of(dictionary(a + "ctorch\nload\n")), "torch.load");
}

BOOST_AUTO_TEST_CASE(inst) {
    refuses(archive_of("\x80\x02(iposix\nsystem\n."), "operation 105");
}

BOOST_AUTO_TEST_CASE(stack_global) {
    refuses(archive_of("\x80\x02" + text("posix") + text("system") + "\x93."), "operation 147");
}

BOOST_AUTO_TEST_CASE(protocol_4) {
    refuses(archive_of("\x80\x04}."), "protocol 4");
}

BOOST_AUTO_TEST_CASE(empty_pickle) {
    refuses(archive_of(""), "ends early");
}

BOOST_AUTO_TEST_CASE(cut_text) {
    refuses(archive_of("\x80\x02X" + raw(std::uint32_t{0xffffffff}) + "abc"), "ends early");
}

BOOST_AUTO_TEST_CASE(no_mark) {
    refuses(archive_of("\x80\x02}u."), "mark");
}

BOOST_AUTO_TEST_CASE(empty_stack) {
    refuses(archive_of("\x80\x02R."), "nothing on the stack");
}

BOOST_AUTO_TEST_CASE(unknown_memo) {
    refuses(archive_of("\x80\x02h\7."), "never stored");
}

BOOST_AUTO_TEST_CASE(a_tensor_alone) {
    refuses(archive_of("\x80\x02" + View{}.pickled() + "."), "wrong kind");
}

BOOST_AUTO_TEST_CASE(a_nested_dictionary) {
    refuses(archive_of(dictionary(a + "}")), "\"a\" is not a tensor");
}

BOOST_AUTO_TEST_CASE(key_without_value) {
    refuses(archive_of(dictionary(a)), "no value");
}

BOOST_AUTO_TEST_CASE(surplus_after_the_end) {
    refuses(archive_of(dictionary(a + View{}.pickled()) + "x"), "follows");
}

BOOST_AUTO_TEST_CASE(same_name_twice) {
    refuses(archive_of(dictionary(a + View{}.pickled() + a + View{}.pickled())), "twice");
}

BOOST_AUTO_TEST_CASE(a_dictionary_in_itself) {
    refuses(archive_of("\x80\x02}q\1(" + a + "h\1u."), "not a tensor");
}

BOOST_AUTO_TEST_CASE(deep_tuples) {
    refuses(archive_of("\x80\x02)" + std::string(1000, '\x85') + "."), "deeply");
}

BOOST_AUTO_TEST_CASE(offset_outside) {
    refuses(with([](View& v) { v.offset = small(1); }), "outside");
}

BOOST_AUTO_TEST_CASE(negative_offset) {
    refuses(with([](View& v) { v.offset = "J" + raw(std::int32_t{-1}); }), "offset");
}

BOOST_AUTO_TEST_CASE(huge_offset) {
    refuses(with([&](View& v) { v.offset = big; }), "outside");
}

BOOST_AUTO_TEST_CASE(stride_outside) {
    refuses(with([](View& v) { v.strides = small(4) + small(1) + "\x86"; }), "outside");
}

BOOST_AUTO_TEST_CASE(huge_stride) {
    refuses(with([&](View& v) { v.strides = big + small(1) + "\x86"; }), "outside");
}

BOOST_AUTO_TEST_CASE(negative_stride) {
    refuses(with([](View& v) { v.strides = "J" + raw(std::int32_t{-3}) + small(1) + "\x86"; }), "strides");
}

BOOST_AUTO_TEST_CASE(expanded) {
    refuses(with([](View& v) {
                v.shape = small(200) + small(200) + "\x86";
                v.strides = small(0) + small(0) + "\x86";
            }),
            "outside");
}

BOOST_AUTO_TEST_CASE(overflowing_shape) {
    refuses(with([&](View& v) { v.shape = big + big + "\x86"; }), "too many elements");
}

BOOST_AUTO_TEST_CASE(storage_of_another_size) {
    refuses(with([](View& v) { v.elements = small(7); }), "stated number");
}

BOOST_AUTO_TEST_CASE(other_type_than_stored) {
    refuses(with([](View& v) { v.type = "DoubleStorage"; }), "stated number");
}

BOOST_AUTO_TEST_CASE(storage_elsewhere) {
    refuses(with([](View& v) { v.storage = "../version"; }), "data/../version");
}

BOOST_AUTO_TEST_CASE(memo_bomb_of_objects) {
    refuses(archive_of("\x80\x02" + std::string(2000000, ')') + "."), "operations");
}

BOOST_AUTO_TEST_CASE(memo_bomb_of_texts) {
    // One text of a megabyte, named two hundred thousand times: copied each time it would take 200 GB.
    std::string items;
    for (int i = 0; i < 200000; ++i) {
        items += "h\1N";
    }
    refuses(archive_of("\x80\x02}" + text(std::string(1000000, 'x')) + "q\1" + "Ns(" + items + "u."), "its entry");
}

BOOST_AUTO_TEST_CASE(memo_bomb_of_storages) {
    const std::string id =
        "(" + text("storage") + "ctorch\nFloatStorage\n" + text(std::string(1000, '0')) + text("cpu") + small(6) + "t";
    refuses(archive_of("\x80\x02}" + a + id + "Qs."), "longer than 64");
}

BOOST_AUTO_TEST_CASE(bad_utf8_in_a_name) {
    refuses(archive_of(dictionary(text("\xff") + View{}.pickled())), "malformed UTF-8");
}

BOOST_AUTO_TEST_CASE(nul_in_a_name) {
    refuses(archive_of(dictionary(text(std::string("a\0b", 3)) + View{}.pickled())), "NUL");
}

BOOST_AUTO_TEST_CASE(storage_of_another_tensor_kind) {
    refuses(archive_of(dictionary(a + "ctorch\nComplexFloatStorage\n")), "torch.ComplexFloatStorage");
}

BOOST_AUTO_TEST_CASE(reduce_of_an_ordered_dictionary_with_arguments) {
    refuses(archive_of("\x80\x02"
                       "ccollections\nOrderedDict\n(K\1tR."),
            "unexpected arguments");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(hostile_training_checkpoint)

BOOST_AUTO_TEST_CASE(what_is_not_understood_is_carried_along) {
    const std::string optimizer = text("optimizer") + "}(" + "K\0"s + "}" + text("state") + "](K\1G12345678eK\2a" + "u";
    const std::string arguments = text("args") + "cargparse\nNamespace\n)\x81}(" + text("lr") + "G12345678ub";
    const std::string made = text("made") + "ccollections\ndefaultdict\ncbuiltins\nint\n\x85R(K\1K\2u";
    BOOST_CHECK_NO_THROW(read_model(dictionary(optimizer + arguments + model + made)));
}

BOOST_AUTO_TEST_CASE(nothing_is_executed) {
    const Scratch scratch;
    const std::string mark = scratch.path("executed");
    const std::string call = "cposix\nsystem\n(" + text("touch " + mark) + "tR";
    BOOST_CHECK_NO_THROW(read_model(dictionary(text("x") + call + model)));
    BOOST_TEST(!std::filesystem::exists(mark));
}

BOOST_AUTO_TEST_CASE(no_tensor_is_taken_from_what_is_not_understood) {
    const std::string call = "cposix\nsystem\n(tR";
    refuses_model(text("model") + call, "no dictionary under");
    refuses_model(text("model") + "}(" + text("w") + call + "u", "\"w\" is not a tensor");
    refuses_model(text("model") + "}(" + text("w") + "G12345678u", "\"w\" is not a tensor");
    refuses_model(text("model") + "}(" + text("w") + "](" + View{}.pickled() + "eu", "\"w\" is not a tensor");
    refuses_model(text("model") + "}(" + text("w") + "}(" + text("v") + View{}.pickled() + "uu", "is not a tensor");
    View odd;
    odd.shape = "G12345678";
    refuses_model(text("model") + "}(" + text("w") + odd.pickled() + "u", "not a short tuple");
}

BOOST_AUTO_TEST_CASE(names_that_are_no_texts) {
    refuses_model(text("model") + "}(K\1" + View{}.pickled() + "u", "not a text");
    refuses_model("K\1" + View{}.pickled(), "no dictionary under");
}

BOOST_AUTO_TEST_CASE(the_entry_twice) {
    refuses_model(model + model, "occurs twice");
}

BOOST_AUTO_TEST_CASE(the_dictionary_as_its_own_entry) {
    BOOST_CHECK_EXCEPTION(read_model("\x80\x02}q\1(" + text("model") + "h\1u."), ladle::DataError,
                          names("\"model\" is not a tensor"));
}

BOOST_AUTO_TEST_CASE(lists_and_stack_in_disorder) {
    refuses_model("e" + model, "no list");
    refuses_model(text("x") + "}K\1a" + model, "no list");
    refuses_model("\x81" + model, "nothing on the stack");
    refuses_model(text("x") + "K\1(K\1K\2u" + model, "wrong kind");
}

BOOST_AUTO_TEST_CASE(operations_without_end) {
    std::string pickle = "\x80\x02](";
    for (int i = 0; i < 1100000; ++i) {
        pickle += "N";
    }
    BOOST_CHECK_EXCEPTION(read_model(pickle + "e."), ladle::DataError, names("operations"));
}

BOOST_AUTO_TEST_CASE(flat_dictionaries_stay_strict) {
    refuses(archive_of(dictionary(a + "G12345678")), "operation 71");
    refuses(archive_of(dictionary(a + "cargparse\nNamespace\n)\x81")), "argparse.Namespace");
    refuses(archive_of(dictionary(a + "](K\1e")), "operation 101");
}

BOOST_AUTO_TEST_CASE(arguments_of_a_program) {
    const std::string eight = "G\x40\x20\0\0\0\0\0\0"s;
    const std::string state = "}(" + text("n") + small(3) + text("r") + eight + text("l") + "]" + text("z") + "N" +
                              text("t") + "\x88" + text("s") + text("Q,K") + small(1) + small(2) + "u";
    const nlohmann::json expected = {{"n", 3},       {"r", 8.0},  {"l", nlohmann::json::array()},
                                     {"z", nullptr}, {"t", true}, {"s", "Q,K"}};
    BOOST_TEST(read_arguments(text("args") + name_space + ")\x81" + state + "b") == expected);
    // One text under many keys costs a pickle little and its reader a copy each.
    const std::string shared = text(std::string(200, 'x')) + "q\5";
    std::string many = "}(" + text("k") + shared;
    for (int i = 0; i < 6000; ++i) {
        many += text("k" + std::to_string(i)) + "h\5";
    }
    BOOST_CHECK_EXCEPTION(read_arguments(text("args") + name_space + ")\x81" + many + "ub"), ladle::DataError,
                          names("more than 1048576 bytes"));
    const auto refuses_arguments = [](const std::string& items) {
        BOOST_CHECK_EXCEPTION(read_arguments(items), ladle::DataError, names("no arguments"));
    };
    refuses_arguments(model);
    refuses_arguments(text("args") + state);
    refuses_arguments(text("args") + name_space + ")\x81");
    refuses_arguments(text("args") + name_space + ")\x81" + text("state") + "b");
    refuses_arguments(text("args") + "cos\nsystem\n)\x81" + state + "b");
    // Called, not made: whatever that gives is not looked at.
    refuses_arguments(text("args") + name_space + "(" + text("id") + "tR" + state + "b");
    refuses_arguments(text("args") + "cos\nsystem\n(" + text("id") + "tR");
}

BOOST_AUTO_TEST_SUITE_END()
