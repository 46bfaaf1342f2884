// Meta's directories and training checkpoints, against the numbers that PyTorch saw in them.
#include <boost/test/unit_test.hpp>

#include "ladle/io/hdf5.hpp"
#include "ladle/io/meta_directory.hpp"
#include "ladle/io/pytorch.hpp"
#include "names.hpp"
#include "scratch.hpp"
#include "support/fixtures.hpp"

namespace {

namespace fs = std::filesystem;

std::string tiny() {
    return ladle::test::fixtures_root() + "/moa/meta_tiny";
}

/// Every tensor of a group of the directory's expected.h5 must be in the map with these very numbers; returns how many
/// there are.
std::size_t check_expected(const std::string& directory, const std::string& group,
                           const ladle::StoredTensorMap& tensors) {
    const ladle::Hdf5Reader expected(directory + "/expected.h5", ladle::Hdf5Origin::foreign);
    const auto members = expected.members("/" + group);
    for (const std::string& name : members) {
        BOOST_TEST_REQUIRE(tensors.contains(name), name);
        const ladle::Tensor wanted = expected.tensor("/" + group + "/" + name);
        BOOST_TEST((tensors.at(name).shape == wanted.shape), name);
        BOOST_TEST((tensors.at(name).load().to_floats() == wanted.to_floats()), name);
    }
    return members.size();
}

ladle::StoredTensorMap map_of(std::vector<std::pair<std::string, ladle::StoredTensor>> tensors) {
    return {tensors.begin(), tensors.end()};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(meta_directory)

BOOST_AUTO_TEST_CASE(weights_are_those_that_torch_reads) {
    for (const std::string& path : ladle::test::meta_directories()) {
        const ladle::MetaDirectory directory = ladle::open_meta_directory(path);
        BOOST_TEST_REQUIRE(directory.shards.size() == 1U, path);
        BOOST_TEST(check_expected(path, "consolidated", directory.shards[0]) == directory.shards[0].size(), path);
    }
    const ladle::MetaDirectory directory = ladle::open_meta_directory(tiny());
    BOOST_TEST((directory.shards[0].at("norm.weight").dtype == ladle::DType::bf16));
    BOOST_TEST(directory.params["n_kv_heads"] == 2);
    BOOST_TEST(directory.digest.size() == 64U);
    BOOST_TEST(directory.files.find("consolidated.00.pth = ") != std::string::npos);
    BOOST_TEST(directory.files.find("params.json = ") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(shards_must_be_counted_from_zero_without_holes) {
    const Scratch scratch;
    const auto refuses = [&](const char* named) {
        BOOST_CHECK_EXCEPTION(ladle::open_meta_directory(scratch.directory()), ladle::DataError, names(named));
    };
    refuses("params.json");
    spill(scratch.path("params.json"), "{}");
    refuses("no consolidated.00.pth");
    const auto place = [&](const std::string& name) {
        fs::copy_file(tiny() + "/consolidated.00.pth", scratch.path(name));
    };
    place("consolidated.01.pth");
    refuses("consolidated.01.pth where consolidated.00.pth");
    place("consolidated.00.pth");
    BOOST_TEST(ladle::open_meta_directory(scratch.directory()).shards.size() == 2U);
    place("consolidated.03.pth");
    refuses("consolidated.03.pth where consolidated.02.pth");
    fs::rename(scratch.path("consolidated.03.pth"), scratch.path("consolidated.2.pth"));
    refuses("consolidated.2.pth where consolidated.02.pth");
}

BOOST_AUTO_TEST_CASE(a_training_checkpoint_gives_its_model_only) {
    for (const std::string& directory : ladle::test::meta_directories()) {
        const auto entry = map_of(ladle::open_torch_entry(directory + "/checkpoint-1.pth", "model"));
        BOOST_TEST(check_expected(directory, "adapter", entry) ==
                   map_of(ladle::open_torch(directory + "/adapter.pth")).size());
    }
    const std::string path = tiny() + "/checkpoint-1.pth";
    const ladle::StoredTensorMap model = map_of(ladle::open_torch_entry(path, "model"));
    BOOST_TEST(model.at("llama.norm.weight").elements() == 64U);
    BOOST_TEST((model.at("llama.norm.weight").dtype == ladle::DType::bf16));
    const std::size_t adapters = check_expected(tiny(), "adapter", model);
    // 21 tensors of the backbone without rope.freqs.
    BOOST_TEST(model.size() == adapters + 21);
    BOOST_CHECK_EXCEPTION(ladle::open_torch_entry(path, "args"), ladle::DataError, names("no dictionary under"));
    BOOST_CHECK_EXCEPTION(ladle::open_torch_entry(path, "scaler"), ladle::DataError,
                          names("\"scale\" is not a tensor"));
    BOOST_CHECK_EXCEPTION(ladle::open_torch_entry(path, "absent"), ladle::DataError, names("no dictionary under"));
    BOOST_CHECK_THROW(ladle::read_torch(path), ladle::DataError);
}

BOOST_AUTO_TEST_SUITE_END()
