// Hostile HDF5 files, read as foreign ones are: by a child process with limits.
#include "ladle/io/hdf5.hpp"

#include <hdf5.h>

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <functional>

#include "io/names.hpp"
#include "io/scratch.hpp"
#include "ladle/core/digest.hpp"
#include "ladle/io/inspect.hpp"

namespace {

using ladle::DataError;
using ladle::Hdf5Origin;
using ladle::Hdf5Reader;

/// Bytes of a file made through the C interface, as another program would.
std::string file_of(const std::function<void(hid_t)>& fill, H5F_libver_t version = H5F_LIBVER_V110) {
    const Scratch scratch;
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, version, H5F_LIBVER_V110);
    const hid_t file = H5Fcreate(scratch.path("a.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    fill(file);
    H5Fclose(file);
    return slurp(scratch.path("a.h5"));
}

void read(const std::string& bytes) {
    const Scratch scratch;
    spill(scratch.path("h.h5"), bytes);
    Hdf5Reader::isolated(scratch.path("h.h5"), Hdf5Origin::foreign);
}

void refuses(const std::string& bytes, const char* named) {
    BOOST_CHECK_EXCEPTION(read(bytes), DataError, names(named));
    BOOST_CHECK_EXCEPTION(read(bytes), DataError, names("h.h5"));
}

/// One data set "x" with these extents and creation properties; `fill` may write to it.
std::string dataset(
    const std::vector<hsize_t>& extents, hid_t type, const std::function<void(hid_t)>& properties,
    const std::function<void(hid_t)>& fill = [](hid_t) {}) {
    return file_of([&](hid_t file) {
        const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
        properties(list);
        const hid_t space = H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr);
        const hid_t id = H5Dcreate2(file, "x", type, space, H5P_DEFAULT, list, H5P_DEFAULT);
        BOOST_TEST_REQUIRE(id >= 0);
        fill(id);
        H5Dclose(id);
        H5Sclose(space);
        H5Pclose(list);
    });
}

void chunk(hid_t list, hsize_t size) {
    H5Pset_chunk(list, 1, &size);
}

std::string sealed(const std::string& content) {
    ladle::Digest digest;
    digest.add(content.data(), content.size());
    return content + "\nladle-file-sha256 " + digest.finish() + "\n";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hostile_hdf5)

BOOST_AUTO_TEST_CASE(a_sound_file_is_read) {
    const Scratch scratch;
    spill(scratch.path("h.h5"), dataset(
                                    {2}, H5T_IEEE_F32LE, [](hid_t) {},
                                    [](hid_t id) {
                                        const float values[] = {1.0F, 2.0F};
                                        H5Dwrite(id, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
                                    }));
    const auto reader = Hdf5Reader::isolated(scratch.path("h.h5"), Hdf5Origin::foreign);
    BOOST_TEST(reader.floats("/x") == (std::vector<float>{1.0F, 2.0F}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(crafted_metadata_every_byte) {
    // In the old format nothing protects the metadata. Whatever the library makes of a changed byte, even a crash, this
    // process goes on with values or with an error.
    const std::string whole = file_of(
        [](hid_t file) {
            const hid_t group = H5Gcreate2(file, "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
            const hid_t scalar = H5Screate(H5S_SCALAR);
            const hid_t text = H5Tcopy(H5T_C_S1);
            H5Tset_size(text, H5T_VARIABLE);
            const hid_t attribute = H5Acreate2(group, "a", text, scalar, H5P_DEFAULT, H5P_DEFAULT);
            const char* value = "words";
            H5Awrite(attribute, text, &value);
            H5Aclose(attribute);
            H5Tclose(text);
            H5Sclose(scalar);
            H5Gclose(group);
        },
        H5F_LIBVER_EARLIEST);
    for (std::size_t at = 0; at < whole.size(); at += 7) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ (at % 2 == 0 ? 0xff : 1 << (at % 8)));
        try {
            read(damaged);
        } catch (const DataError&) {
        }
    }
    BOOST_TEST(whole.size() > 1000U);
}

BOOST_AUTO_TEST_CASE(huge_extents) {
    refuses(dataset({hsize_t{1} << 40U}, H5T_IEEE_F32LE, [](hid_t list) { chunk(list, 1024); }), "larger than");
}

BOOST_AUTO_TEST_CASE(overflowing_extents) {
    const hsize_t large = hsize_t{1} << 33U;
    const auto chunked = [](hid_t list) {
        const hsize_t sizes[] = {16, 16};
        H5Pset_chunk(list, 2, sizes);
    };
    refuses(dataset({large, large}, H5T_IEEE_F32LE, chunked), "extents are not possible");
    refuses(dataset({hsize_t{1} << 62U}, H5T_STD_U8LE, [](hid_t list) { chunk(list, 1024); }),
            "extents are not possible");
}

BOOST_AUTO_TEST_CASE(chunk_rank_other_than_dataspace_rank) {
    // The layout message of the old format: version 3, class 2 (chunked), number of dimensions (rank + 1), address
    // of eight bytes, sizes of a chunk, the last one that of an element.
    std::string bytes = file_of(
        [](hid_t file) {
            const hsize_t extents[] = {8, 8};
            const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
            H5Pset_chunk(list, 2, extents);
            const hid_t space = H5Screate_simple(2, extents, nullptr);
            const hid_t id = H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
            const std::vector<float> values(64, 1.0F);
            H5Dwrite(id, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
            H5Dclose(id);
            H5Sclose(space);
            H5Pclose(list);
        },
        H5F_LIBVER_EARLIEST);
    const std::size_t layout = bytes.find(std::string("\x08\0\0\0\x08\0\0\0\4\0\0\0", 12)) - 11;
    BOOST_TEST_REQUIRE(bytes.substr(layout, 3) == "\3\2\3");
    BOOST_CHECK_NO_THROW(read(bytes));
    for (const char dimensions : {'\1', '\2', '\4', '\x21', '\xff'}) {
        bytes[layout + 2] = dimensions;
        BOOST_TEST_CONTEXT(static_cast<int>(dimensions)) {
            refuses(bytes, "cannot read");
        }
    }
}

BOOST_AUTO_TEST_CASE(external_links) {
    refuses(
        file_of([](hid_t file) { H5Lcreate_external("/etc/passwd", "/x", file, "link", H5P_DEFAULT, H5P_DEFAULT); }),
        "links");
}

BOOST_AUTO_TEST_CASE(external_storage) {
    refuses(dataset({8}, H5T_STD_U8LE, [](hid_t list) { H5Pset_external(list, "/etc/passwd", 0, 8); }), "another file");
}

BOOST_AUTO_TEST_CASE(virtual_data_sets) {
    refuses(dataset({8}, H5T_STD_U8LE,
                    [](hid_t list) {
                        const hsize_t size = 8;
                        const hid_t space = H5Screate_simple(1, &size, nullptr);
                        H5Pset_virtual(list, space, "/etc/passwd", "/x", space);
                        H5Sclose(space);
                    }),
            "another file");
}

BOOST_AUTO_TEST_CASE(soft_link_cycles) {
    refuses(file_of([](hid_t file) {
                H5Lcreate_soft("/b", file, "a", H5P_DEFAULT, H5P_DEFAULT);
                H5Lcreate_soft("/a", file, "b", H5P_DEFAULT, H5P_DEFAULT);
            }),
            "links");
}

BOOST_AUTO_TEST_CASE(hard_link_cycles) {
    refuses(file_of([](hid_t file) {
                const hid_t group = H5Gcreate2(file, "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
                H5Lcreate_hard(file, "/g", group, "again", H5P_DEFAULT, H5P_DEFAULT);
                H5Gclose(group);
            }),
            "more than once");
}

BOOST_AUTO_TEST_CASE(deep_groups) {
    refuses(file_of([](hid_t file) {
                std::string path;
                for (int i = 0; i < 40; ++i) {
                    path += "/g";
                    H5Gclose(H5Gcreate2(file, path.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
                }
            }),
            "too deeply");
}

BOOST_AUTO_TEST_CASE(user_filters) {
    const auto with_filter = [](hid_t list) {
        chunk(list, 8);
        // A number from the range of private filters, optional so that the file can be made without it.
        H5Pset_filter(list, 32015, H5Z_FLAG_OPTIONAL, 0, nullptr);
    };
    refuses(dataset({8}, H5T_STD_U8LE, with_filter), "filter 32015 is not accepted");
}

BOOST_AUTO_TEST_CASE(plugins_are_never_loaded) {
    ::setenv("HDF5_PLUGIN_PATH", "/tmp", 1);
    BOOST_CHECK_THROW(read("text"), DataError);
    unsigned int plugins = 1;
    const Scratch scratch;
    spill(scratch.path("a.h5"), file_of([](hid_t) {}));
    BOOST_CHECK_NO_THROW(Hdf5Reader(scratch.path("a.h5"), Hdf5Origin::foreign));
    H5PLget_loading_state(&plugins);
    BOOST_TEST(plugins == 0U);
    ::unsetenv("HDF5_PLUGIN_PATH");
}

BOOST_AUTO_TEST_CASE(variable_length_and_compound_types) {
    const hid_t sequence = H5Tvlen_create(H5T_STD_I32LE);
    const hid_t pair = H5Tcreate(H5T_COMPOUND, 8);
    H5Tinsert(pair, "a", 0, H5T_STD_I32LE);
    H5Tinsert(pair, "b", 4, H5T_STD_I32LE);
    for (const hid_t type : {sequence, pair}) {
        const std::string bytes = dataset({2}, type, [](hid_t) {});
        const Scratch scratch;
        spill(scratch.path("h.h5"), bytes);
        // Of a foreign file such an object is passed over, and nothing of it can be read; ladle's own have none.
        const auto reader = Hdf5Reader::isolated(scratch.path("h.h5"), Hdf5Origin::foreign);
        BOOST_TEST((!reader.is_number("/x") && !reader.is_text("/x")));
        BOOST_CHECK_EXCEPTION(reader.tensor("/x"), DataError, names("not a data set of numbers"));
        spill(scratch.path("h.h5"), sealed(bytes));
        BOOST_CHECK_EXCEPTION(Hdf5Reader(scratch.path("h.h5")), DataError, names("of a type ladle does not use"));
        H5Tclose(type);
    }
}

BOOST_AUTO_TEST_CASE(deflate_bomb_by_claim) {
    const auto deflated = [](hid_t list) {
        chunk(list, 1024);
        H5Pset_deflate(list, 9);
    };
    refuses(dataset({hsize_t{1} << 40U}, H5T_STD_U8LE, deflated), "larger than");
}

BOOST_AUTO_TEST_CASE(deflate_bomb_that_keeps_its_promise) {
    // Three GiB of zeros in three MiB: each chunk is written as the bytes of the first.
    constexpr hsize_t kChunk = hsize_t{16} << 20U;
    constexpr hsize_t kChunks = 192;
    std::string packed;
    const auto deflated = [](hid_t list) {
        chunk(list, kChunk);
        H5Pset_deflate(list, 9);
    };
    const auto fill = [&](hid_t id) {
        const std::vector<std::uint8_t> zeros(kChunk, 0);
        const hsize_t start = 0;
        const hid_t space = H5Dget_space(id);
        const hid_t memory = H5Screate_simple(1, &kChunk, nullptr);
        H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, nullptr, &kChunk, nullptr);
        H5Dwrite(id, H5T_STD_U8LE, memory, space, H5P_DEFAULT, zeros.data());
        hsize_t bytes = 0;
        H5Dget_chunk_storage_size(id, &start, &bytes);
        packed.resize(bytes);
        std::uint32_t filters = 0;
        H5Dread_chunk(id, H5P_DEFAULT, &start, &filters, packed.data());
        for (hsize_t k = 1; k < kChunks; ++k) {
            const hsize_t offset = k * kChunk;
            H5Dwrite_chunk(id, H5P_DEFAULT, 0, &offset, packed.size(), packed.data());
        }
        H5Sclose(memory);
        H5Sclose(space);
    };
    const std::string bytes = dataset({kChunk * kChunks}, H5T_STD_U8LE, deflated, fill);
    BOOST_TEST(bytes.size() < (std::size_t{8} << 20U));
    // Under an address sanitizer the child ends at its limit without words.
#ifdef __SANITIZE_ADDRESS__
    refuses(bytes, "cannot read");
#else
    refuses(bytes, "of memory");
#endif
}

BOOST_AUTO_TEST_CASE(one_text_named_a_million_times) {
    // References of a megabyte into the heap that all name one text: the library would copy it for each.
    constexpr hsize_t kCount = 4096;
    std::string bytes = file_of(
        [](hid_t file) {
            const hid_t text = H5Tcopy(H5T_C_S1);
            H5Tset_size(text, H5T_VARIABLE);
            const hsize_t extent = kCount;
            const hid_t space = H5Screate_simple(1, &extent, nullptr);
            const hid_t id = H5Dcreate2(file, "x", text, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
            const std::string long_text(1000000, 'y');
            std::vector<const char*> values(kCount, "x");
            values[0] = long_text.c_str();
            H5Dwrite(id, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
            H5Dclose(id);
            H5Sclose(space);
            H5Tclose(text);
        },
        H5F_LIBVER_EARLIEST);
    // A reference is the length, the address of a heap and a number in it, 16 bytes; they lie one behind the other.
    const std::uint32_t length = 1000000;
    const std::string start(reinterpret_cast<const char*>(&length), sizeof(length));
    std::size_t at = bytes.find(start);
    while (at != std::string::npos &&
           (at + 32 > bytes.size() || bytes.substr(at + 16, 4) != std::string("\1\0\0\0", 4))) {
        at = bytes.find(start, at + 1);
    }
    BOOST_TEST_REQUIRE(at != std::string::npos);
    const std::string reference = bytes.substr(at, 16);
    for (std::size_t k = 1; k < kCount; ++k) {
        bytes.replace(at + 16 * k, 16, reference);
    }
    refuses(bytes, "cannot read");
}

BOOST_AUTO_TEST_CASE(attributes_of_wrong_type) {
    const Scratch scratch;
    {
        ladle::Hdf5Writer writer("ladle.soup", 1, 0);
        writer.group("/model");
        writer.integer("/model", "architecture", 7);
        writer.save(scratch.path("a.h5"));
    }
    BOOST_CHECK_EXCEPTION(ladle::inspect_path(scratch.path("a.h5")), DataError, names("architecture of /model"));
    const auto reader = Hdf5Reader::isolated(scratch.path("a.h5"), Hdf5Origin::ladle);
    BOOST_CHECK_EXCEPTION(reader.text("/model", "architecture"), DataError, names("is not a text"));
    BOOST_CHECK_EXCEPTION(reader.flag("/model", "architecture"), DataError, names("not a boolean"));
    BOOST_CHECK_EXCEPTION(reader.reals("/model", "architecture"), DataError, names("list of real numbers"));
}

BOOST_AUTO_TEST_CASE(a_forged_checksum_line_protects_nothing_else) {
    // Anyone can compute a SHA-256: behind the checksum line stand the digest of the contents and the child process.
    const std::string bytes =
        sealed(file_of([](hid_t file) { H5Gclose(H5Gcreate2(file, "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)); }));
    const Scratch scratch;
    spill(scratch.path("h.h5"), bytes);
    BOOST_CHECK_EXCEPTION(Hdf5Reader::isolated(scratch.path("h.h5"), Hdf5Origin::ladle), DataError,
                          names("content_sha256"));
}

BOOST_AUTO_TEST_CASE(names_that_lead_elsewhere) {
    std::string bytes =
        file_of([](hid_t file) { H5Gclose(H5Gcreate2(file, "elsewhere", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)); },
                H5F_LIBVER_EARLIEST);
    const std::size_t at = bytes.find("elsewhere");
    BOOST_TEST_REQUIRE(at != std::string::npos);
    bytes.replace(at, 9, "else/here");
    refuses(bytes, "odd names");
}

BOOST_AUTO_TEST_CASE(bad_utf8_in_texts_and_names) {
    const auto replaced = [](const std::string& with) {
        const Scratch scratch;
        ladle::Hdf5Writer writer("s", 1, 0);
        writer.strings("/words", {"elsewhere"});
        writer.save(scratch.path("a.h5"));
        std::string bytes = slurp(scratch.path("a.h5"));
        return bytes.replace(bytes.find("elsewhere"), 9, with);
    };
    BOOST_CHECK_NO_THROW(read(replaced("else-here")));
    refuses(replaced("else\xffhere"), "malformed UTF-8");
    std::string bytes =
        file_of([](hid_t file) { H5Gclose(H5Gcreate2(file, "elsewhere", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)); },
                H5F_LIBVER_EARLIEST);
    bytes.replace(bytes.find("elsewhere"), 9, "else\xffhere");
    refuses(bytes, "odd names");
}

BOOST_AUTO_TEST_CASE(nonsense_from_the_child) {
    // A file may have taken the child over. Sizes of a hundred exabytes, texts with NUL, and cut ends are refused.
    const std::string empty(8, '\0');
    for (const std::string& packed : {std::string(), empty, std::string(16, '\xff'), empty + std::string(8, '\x7f'),
                                      std::string("\1\0\0\0\0\0\0\0\0", 9) + empty, empty + empty + "surplus"}) {
        BOOST_CHECK_EXCEPTION(Hdf5Reader::unpacked(packed, "h.h5"), DataError, names("nonsense"));
    }
    BOOST_CHECK_NO_THROW(Hdf5Reader::unpacked(empty + empty, "h.h5"));
}

BOOST_AUTO_TEST_CASE(values_come_back_from_the_child_as_they_were) {
    const Scratch scratch;
    ladle::Hdf5Writer writer("s", 1, 0);
    writer.texts("/", "texts", {"a", "", "\xe2\x82\xac"});
    writer.reals("/", "reals", {0.1, -1e300});
    writer.flag("/", "on", true);
    writer.group("/g");
    writer.dataset("/g/x", std::vector<std::uint16_t>{1, 65535});
    writer.strings("/words", {"x", ""});
    const std::string digest = writer.save(scratch.path("a.h5"));
    const auto reader = Hdf5Reader::isolated(scratch.path("a.h5"), Hdf5Origin::ladle);
    BOOST_TEST(reader.digest() == digest);
    BOOST_TEST(reader.texts("/", "texts")[2] == "\xe2\x82\xac");
    BOOST_TEST(reader.reals("/", "reals")[1] == -1e300);
    BOOST_TEST(reader.flag("/", "on"));
    BOOST_TEST(reader.uint16s("/g/x")[1] == 65535);
    BOOST_TEST(reader.strings("/words").size() == 2U);
    BOOST_TEST(reader.members("/").size() == 2U);
}

BOOST_AUTO_TEST_SUITE_END()
