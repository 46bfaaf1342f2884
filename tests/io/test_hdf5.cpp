// HDF5 layer: round trips, equal bytes for equal content, refusal of damaged files.
#include <hdf5.h>
#include <sys/resource.h>

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <csignal>
#include <thread>

#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/hdf5.hpp"
#include "names.hpp"
#include "scratch.hpp"

namespace {

using ladle::DataError;
using ladle::Hdf5Origin;
using ladle::Hdf5Reader;
using ladle::Hdf5Writer;

std::string write_sample(const std::string& path) {
    Hdf5Writer writer("ladle.sample", 1, 2);
    writer.text("/", "task", "h\xc3\xa9llo");
    writer.texts("/", "labels", {"no", "", "yes"});
    writer.texts("/", "nothing", {});
    writer.reals("/", "no_reals", {});
    writer.group("/a");
    writer.integer("/a", "count", -5);
    writer.integers("/a", "special", {1, 2, 3});
    writer.real("/a", "rate", 0.1);
    writer.flag("/a", "on", true);
    writer.dataset("/a/floats", std::vector<float>{1.5F, -2.0F});
    writer.dataset("/a/ids", std::vector<std::uint16_t>{65535, 0, 7});
    writer.dataset("/a/empty", std::vector<std::int32_t>{});
    writer.dataset("/long", std::vector<std::int64_t>{std::int64_t{1} << 62U});
    writer.strings("/words", {"x", "", "\xe2\x82\xac"});
    const std::vector<float> cube(24, 0.25F);
    writer.tensor("/a/cube", ladle::Tensor::from_floats({2, 3, 4}, cube.data()));
    const double scalar = 3.5;
    writer.dataset("/a/scalar", ladle::DType::f64, {}, &scalar);
    return writer.save(path);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hdf5)

BOOST_AUTO_TEST_CASE(round_trip_of_every_type) {
    const Scratch scratch;
    const std::string path = scratch.path("a.h5");
    const std::string digest = write_sample(path);
    const Hdf5Reader reader(path);
    BOOST_TEST(reader.digest() == digest);
    BOOST_TEST(digest.size() == 64U);
    reader.require_schema("ladle.sample", 1);
    BOOST_TEST(reader.text("/", "task") == "h\xc3\xa9llo");
    BOOST_TEST(reader.texts("/", "labels") == (std::vector<std::string>{"no", "", "yes"}),
               boost::test_tools::per_element());
    BOOST_TEST(reader.texts("/", "nothing").empty());
    BOOST_TEST(reader.reals("/", "no_reals").empty());
    BOOST_TEST(reader.integer("/a", "count") == -5);
    BOOST_TEST(reader.integers("/a", "special").size() == 3U);
    BOOST_TEST(reader.real("/a", "rate") == 0.1);
    BOOST_TEST(reader.flag("/a", "on"));
    BOOST_TEST(reader.floats("/a/floats")[1] == -2.0F);
    BOOST_TEST(reader.uint16s("/a/ids")[0] == 65535);
    BOOST_TEST(reader.int32s("/a/empty").empty());
    BOOST_TEST(reader.int64s("/long")[0] == std::int64_t{1} << 62U);
    BOOST_TEST(reader.strings("/words")[2] == "\xe2\x82\xac");
    BOOST_TEST(reader.tensor("/a/cube", ladle::DType::f32, {2, 3, 4}).to_floats()[23] == 0.25F);
    BOOST_TEST(reader.tensor("/a/scalar").shape.empty());
    BOOST_TEST(reader.members("/a").size() == 5U);
    BOOST_TEST(reader.members("/").size() == 3U);
}

BOOST_AUTO_TEST_CASE(equal_content_gives_equal_bytes_seconds_apart) {
    const Scratch scratch;
    write_sample(scratch.path("a.h5"));
    // HDF5 time stamps count seconds.
    std::this_thread::sleep_for(std::chrono::seconds(2));
    write_sample(scratch.path("b.h5"));
    BOOST_TEST((slurp(scratch.path("a.h5")) == slurp(scratch.path("b.h5"))));
}

BOOST_AUTO_TEST_CASE(digest_sees_every_kind_of_change) {
    const Scratch scratch;
    const auto digest_of = [&](auto fill) {
        Hdf5Writer writer("s", 1, 0);
        writer.group("/g");
        fill(writer);
        return writer.save(scratch.path("d.h5"));
    };
    std::vector<std::string> digests = {
        digest_of([](Hdf5Writer&) {}),
        digest_of([](Hdf5Writer& w) { w.group("/h"); }),
        digest_of([](Hdf5Writer& w) { w.text("/g", "a", "1"); }),
        digest_of([](Hdf5Writer& w) { w.integer("/g", "a", 1); }),
        digest_of([](Hdf5Writer& w) { w.integers("/g", "a", {1}); }),
        digest_of([](Hdf5Writer& w) { w.flag("/g", "a", true); }),
        digest_of([](Hdf5Writer& w) { w.integer("/", "a", 1); }),
        digest_of([](Hdf5Writer& w) {
            w.dataset("/g/x", std::vector<std::int32_t>{1, 0});
        }),
        digest_of([](Hdf5Writer& w) { w.dataset("/g/x", std::vector<std::int64_t>{1}); }),
        digest_of([](Hdf5Writer& w) {
            w.strings("/g/x", {"ab", "c"});
        }),
        digest_of([](Hdf5Writer& w) {
            w.strings("/g/x", {"a", "bc"});
        }),
    };
    std::sort(digests.begin(), digests.end());
    BOOST_TEST((std::adjacent_find(digests.begin(), digests.end()) == digests.end()));
}

BOOST_AUTO_TEST_CASE(wrong_expectations_name_file_and_object) {
    const Scratch scratch;
    const std::string path = scratch.path("a.h5");
    write_sample(path);
    const Hdf5Reader reader(path);
    BOOST_CHECK_EXCEPTION(reader.floats("/a/ids"), DataError, names("/a/ids"));
    BOOST_CHECK_EXCEPTION(reader.floats("/a/none"), DataError, names("/a/none is missing"));
    BOOST_CHECK_EXCEPTION(reader.text("/a", "count"), DataError, names("count"));
    BOOST_CHECK_EXCEPTION(reader.flag("/a", "count"), DataError, names("boolean"));
    BOOST_CHECK_EXCEPTION(reader.tensor("/a/cube", ladle::DType::f32, {2, 3, 5}), DataError, names("[2, 3, 5]"));
    BOOST_CHECK_EXCEPTION(reader.require_schema("ladle.soup", 1), DataError, names("ladle.soup"));
    BOOST_CHECK_EXCEPTION(reader.require_schema("ladle.sample", 2), DataError, names("version 1"));
}

BOOST_AUTO_TEST_CASE(no_damage_is_accepted_silently) {
    const Scratch scratch;
    const std::string whole_path = scratch.path("a.h5");
    write_sample(whole_path);
    const std::string whole = slurp(whole_path);
    const std::string path = scratch.path("b.h5");
    for (std::size_t at = 0; at < whole.size(); at += 5) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
        spill(path, damaged);
        BOOST_CHECK_THROW(Hdf5Reader{path}, DataError);
    }
    for (std::size_t size = 0; size < whole.size(); size += 16) {
        spill(path, whole.substr(0, size));
        BOOST_CHECK_THROW(Hdf5Reader{path}, DataError);
    }
}

BOOST_AUTO_TEST_CASE(edited_values_are_refused_by_the_digest) {
    const Scratch scratch;
    const std::string path = scratch.path("a.h5");
    write_sample(path);
    const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    const hid_t dataset = H5Dopen2(file, "/a/scalar", H5P_DEFAULT);
    const double other = 6;
    BOOST_TEST_REQUIRE(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, &other) >= 0);
    H5Dclose(dataset);
    H5Fclose(file);
    BOOST_CHECK_EXCEPTION(Hdf5Reader{path}, DataError, names("checksum"));
    // With a fitting checksum of the bytes, the digest of the contents remains.
    const std::string bytes = slurp(path);
    const std::string content = bytes.substr(0, bytes.find("\nladle-file-sha256"));
    ladle::Digest digest;
    digest.add(content.data(), content.size());
    spill(path, content + "\nladle-file-sha256 " + digest.finish() + "\n");
    BOOST_CHECK_EXCEPTION(Hdf5Reader{path}, DataError, names("content_sha256"));
}

BOOST_AUTO_TEST_CASE(other_files_are_named_for_what_they_are) {
    const Scratch scratch;
    spill(scratch.path("text.h5"), "hello, I am no HDF5 file at all");
    spill(scratch.path("empty.h5"), "");
    BOOST_CHECK_EXCEPTION(Hdf5Reader(scratch.path("text.h5")), DataError, names("not an HDF5 file"));
    BOOST_CHECK_EXCEPTION(Hdf5Reader(scratch.path("empty.h5")), DataError, names("not an HDF5 file"));
    BOOST_CHECK_EXCEPTION(Hdf5Reader(scratch.path("none.h5")), DataError, names("No such file"));
    BOOST_CHECK_EXCEPTION(Hdf5Reader(scratch.directory()), DataError, names("directory"));
    H5Fclose(H5Fcreate(scratch.path("old.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
    BOOST_CHECK_EXCEPTION(Hdf5Reader(scratch.path("old.h5")), DataError, names("1.10 format"));
    BOOST_CHECK_NO_THROW(Hdf5Reader(scratch.path("old.h5"), Hdf5Origin::foreign));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(files)

namespace {

/// Makes writes beyond a size fail, as a full disk does.
class FullDisk {
public:
    explicit FullDisk(rlim_t bytes) {
        std::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }

private:
    rlimit before_{};
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_full_disk_leaves_the_old_file_and_no_temporary) {
    const Scratch scratch;
    const std::string path = scratch.path("a.txt");
    ladle::write_file(path, "old");
    {
        const FullDisk full(1000);
        try {
            ladle::write_file(path, std::string(5000, 'x'));
            BOOST_FAIL("the write must fail");
        } catch (const ladle::CheckpointError& error) {
            BOOST_TEST(static_cast<int>(error.exit_code()) == 74);
            BOOST_TEST(names(path)(error));
            BOOST_TEST(names("too large")(error));
        }
    }
    BOOST_TEST(slurp(path) == "old");
    BOOST_TEST(std::distance(std::filesystem::directory_iterator(scratch.directory()), {}) == 1);
}

BOOST_AUTO_TEST_CASE(a_full_disk_stops_an_hdf5_file_cleanly) {
    const Scratch scratch;
    {
        Hdf5Writer writer("s", 1, 0);
        writer.dataset("/x", std::vector<float>(100000, 1.0F));
        const FullDisk full(1000);
        BOOST_CHECK_THROW(writer.save(scratch.path("a.h5")), ladle::CheckpointError);
    }
    BOOST_TEST(std::filesystem::is_empty(scratch.directory()));
    BOOST_CHECK_NO_THROW(write_sample(scratch.path("a.h5")));
}

BOOST_AUTO_TEST_CASE(unwritable_places_are_named) {
    const Scratch scratch;
    spill(scratch.path("file"), "");
    BOOST_CHECK_EXCEPTION(ladle::write_file(scratch.path("none/a.txt"), "x"), ladle::CheckpointError,
                          names("No such file"));
    BOOST_CHECK_EXCEPTION(ladle::make_directories(scratch.path("file/a")), ladle::CheckpointError,
                          names("Not a directory"));
    BOOST_CHECK_EXCEPTION(ladle::make_directories(scratch.path("file")), ladle::CheckpointError,
                          names("a file has that name"));
}

BOOST_AUTO_TEST_CASE(left_temporaries_are_removed_and_limits_hold) {
    const Scratch scratch;
    spill(scratch.path(".a.h5.ladle-tmp"), "half");
    spill(scratch.path("b.txt"), "12345");
    ladle::remove_temporaries(scratch.directory());
    BOOST_TEST(ladle::list_files(scratch.directory()).size() == 1U);
    BOOST_TEST(!std::filesystem::exists(scratch.path(".a.h5.ladle-tmp")));
    BOOST_TEST(ladle::read_file(scratch.path("b.txt"), 5) == "12345");
    BOOST_CHECK_EXCEPTION(ladle::read_file(scratch.path("b.txt"), 4), DataError, names("limit"));
    BOOST_CHECK_EXCEPTION(ladle::read_file(scratch.directory()), DataError, names("directory"));
}

BOOST_AUTO_TEST_SUITE_END()
