// Finds and opens the files of a directory in Meta's layout.
#include "ladle/io/meta_directory.hpp"

#include <fmt/format.h>

#include "file_digests.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/pytorch.hpp"

namespace ladle {
namespace {

constexpr std::size_t kMaxShards = 100;

/// consolidated.NN.pth counted from 00; no other name that looks like one may be there.
std::vector<std::string> shard_files(const std::string& directory) {
    std::vector<std::string> found;
    for (const std::string& name : list_files(directory)) {
        if (name.starts_with("consolidated.") && name.ends_with(".pth")) {
            found.push_back(name);
        }
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
        const std::string expected = fmt::format("consolidated.{:02}.pth", i);
        if (found[i] != expected || i >= kMaxShards) {
            throw DataError("cannot read the model " + directory,
                            "it holds " + found[i] + " where " + expected + " should be",
                            "copy all consolidated.NN.pth of the model, and nothing else of that kind");
        }
    }
    if (found.empty()) {
        throw DataError("cannot read the model " + directory, "it holds no consolidated.00.pth",
                        "name a directory with params.json and consolidated.00.pth");
    }
    return found;
}

}  // namespace

MetaDirectory open_meta_directory(const std::string& directory) {
    MetaDirectory opened;
    opened.params = read_json_file(directory + "/params.json");
    FileDigests digests;
    digests.add(directory, "params.json");
    for (const std::string& file : shard_files(directory)) {
        StoredTensorMap& shard = opened.shards.emplace_back();
        for (auto& [name, tensor] : open_torch(directory + "/" + file)) {
            shard.emplace(name, std::move(tensor));
        }
        digests.add(directory, file);
    }
    opened.files = digests.files();
    opened.digest = digests.finish();
    return opened;
}

}  // namespace ladle
