// Fuzzing target: soups and shards above the HDF5 layer, and the text in which a child process sends a whole file. An
// input is such a text, so that changes reach the readers; in a file the checksums of HDF5 would stop them.
#include "io/export_parts.hpp"
#include "io/hdf5_tree.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/shard.hpp"
#include "support.hpp"

namespace {

void round_trip(ladle::Soup soup, const std::string& path) {
    ladle::write_soup(path, soup);
    const ladle::Soup again = ladle::read_soup(path);
    ladle_fuzz::require(again.digest == soup.digest, "the soup's file has the digest that was told");
    ladle_fuzz::require(ladle::tensor_digest(again) == ladle::tensor_digest(soup) &&
                            ladle::describe_soup(again).dump() == ladle::describe_soup(soup).dump(),
                        "the soup comes back");
}

void round_trip(ladle::Split split, const std::string& path) {
    ladle::write_shard(path, split);
    ladle::Split again = ladle::read_shard(path);
    const std::string digest = again.digest;
    ladle::write_shard(path, again);
    ladle_fuzz::require(again.digest == digest && split.digest == digest, "the shard comes back");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryDirectory scratch;
    ladle::Soup soup;
    ladle::Split split;
    bool is_shard = false;
    try {
        const auto file = ladle::Hdf5Reader::unpacked(ladle_fuzz::text_of(bytes, count), "input");
        is_shard = file.schema() == "ladle.shard";
        if (is_shard) {
            split = ladle::shard_of(file);
        } else {
            soup = ladle::soup_of(file);
        }
    } catch (const ladle::DataError&) {
        return 0;
    }
    if (is_shard) {
        round_trip(std::move(split), scratch.path("again.h5"));
    } else {
        round_trip(std::move(soup), scratch.path("again.h5"));
    }
    return 0;
}
