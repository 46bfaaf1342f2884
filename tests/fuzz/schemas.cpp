// Fuzzing target: soups, shards and adapters above the HDF5 layer, and the text in which a child process sends a whole
// file. An input is such a text, so that changes reach the readers; in a file the checksums of HDF5 would stop them.
#include <optional>

#include "io/export_parts.hpp"
#include "io/hdf5_tree.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/io/adapter_file.hpp"
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

void round_trip(ladle::AdapterFile adapter, const std::string& path) {
    ladle::write_adapter_file(path, adapter);
    ladle::AdapterFile again = ladle::read_adapter_file(path);
    const std::string digest = again.digest;
    ladle::write_adapter_file(path, again);
    ladle_fuzz::require(again.digest == digest && adapter.digest == digest, "the adapter comes back");
    ladle_fuzz::require_same(again.tensors, adapter.tensors);
}

/// What `read` makes of the file must come back; nothing is asked of what it refuses.
template <class Read>
void try_reader(const Read& read, const ladle::Hdf5Reader& file, const std::string& path) {
    std::optional<decltype(read(file))> contents;
    try {
        contents = read(file);
    } catch (const ladle::DataError&) {
        return;
    }
    round_trip(std::move(*contents), path);
}

std::optional<ladle::Hdf5Reader> unpack(std::string_view text) {
    try {
        return ladle::Hdf5Reader::unpacked(text, "input");
    } catch (const ladle::DataError&) {
        return {};
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryDirectory scratch;
    const std::string path = scratch.path("again.h5");
    const std::optional<ladle::Hdf5Reader> file = unpack(ladle_fuzz::text_of(bytes, count));
    if (!file) {
        return 0;
    }
    if (file->schema() == "ladle.shard") {
        try_reader(ladle::shard_of, *file, path);
    } else if (file->schema() == "ladle.adapter") {
        try_reader(ladle::adapter_of, *file, path);
    } else {
        try_reader(ladle::soup_of, *file, path);
    }
    return 0;
}
