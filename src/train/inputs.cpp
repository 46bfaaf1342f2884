// Checks of the data of a run.
#include "ladle/train/inputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ladle/config/options.hpp"
#include "ladle/core/build_info.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/processor.hpp"
#include "ladle/io/files.hpp"
#include "ladle/text/tokenizer.hpp"

namespace ladle {
namespace {

std::string shard_name(const Split& split) {
    return fmt::format("the shard {}/{}", split.task, split.name);
}

}  // namespace

bool has_tokenizer(const std::string& directory) {
    return file_exists(directory + "/tokenizer.json") || file_exists(directory + "/vocab.txt") ||
           file_exists(directory + "/vocab.json");
}

Task task_of(const Split& split) {
    const auto known = task_names();
    if (std::find(known.begin(), known.end(), split.task) == known.end()) {
        return make_custom_task(split.task, split.label_names);
    }
    Task task = make_task(split.task);
    if (task.label_names != split.label_names || task.regression != split.is_regression) {
        throw DataError("cannot use " + shard_name(split), "its labels are not those of the task " + split.task,
                        "prepare the task again");
    }
    return task;
}

Split open_split(const Config& config, const std::string& name) {
    Split split = read_shard(shard_path(config.data.dir, name));
    if (!config.data.task.empty() && split.task != config.data.task) {
        throw DataError("cannot use " + shard_path(config.data.dir, name),
                        fmt::format("it holds the task {}, not {}", split.task, config.data.task),
                        "correct data.dir or data.task");
    }
    if (split.name != name) {
        throw DataError("cannot use " + shard_path(config.data.dir, name),
                        fmt::format("it holds the split {}, not {}", split.name, name), "prepare the task again");
    }
    return split;
}

void check_split(const Split& split, const BackboneConfig& backbone, const std::string& model_directory) {
    const std::string prepare_again = "run `ladle prepare` with this backbone as model.path";
    if (split.samples() == 0) {
        throw DataError("cannot use " + shard_name(split), "it has no samples", "prepare it from a file with rows");
    }
    if (split.model_family != backbone.architecture) {
        throw DataError("cannot use " + shard_name(split),
                        fmt::format("it was made with a {} tokenizer and the backbone is {}", split.model_family,
                                    backbone.architecture),
                        prepare_again);
    }
    if (split.vocab_size > backbone.vocab_size) {
        throw DataError("cannot use " + shard_name(split),
                        fmt::format("it was made with another tokenizer: {} ids, but the backbone has {}",
                                    split.vocab_size, backbone.vocab_size),
                        prepare_again);
    }
    if (has_tokenizer(model_directory) && load_tokenizer(model_directory)->facts().digest != split.tokenizer_digest) {
        throw DataError("cannot use " + shard_name(split),
                        "it was made with another tokenizer than that of " + model_directory, prepare_again);
    }
    const bool pairs = std::any_of(split.sep_pos.begin(), split.sep_pos.end(), [](auto second) { return second != 0; });
    if (pairs && split.model_family == "bert" && backbone.type_vocab_size < 2) {
        throw DataError("cannot use " + shard_name(split),
                        "it holds pairs of texts, but the backbone has one token type only",
                        "set model.path to a backbone with type_vocab_size of 2 or more");
    }
    int longest = 0;
    for (std::size_t s = 0; s < split.samples(); ++s) {
        longest = std::max(longest, split.length(s));
    }
    if (longest > longest_sample(backbone)) {
        throw DataError("cannot use " + shard_name(split),
                        fmt::format("its longest sample has {} tokens, but the backbone has positions for {}", longest,
                                    longest_sample(backbone)),
                        fmt::format("prepare it with data.max_length = {}", longest_sample(backbone)));
    }
}

bool hides_labels(const Split& split) {
    return std::any_of(split.labels.begin(), split.labels.end(), [](std::int32_t label) { return label < 0; }) ||
           std::any_of(split.targets.begin(), split.targets.end(), [](float target) { return std::isnan(target); });
}

Identity run_identity(const Config& config, const std::vector<const Split*>& splits, const std::string& backbone_digest,
                      int ranks) {
    Identity identity;
    identity.options = identity_text(config);
    if (config.comm.reduction == "fast") {
        identity.options += fmt::format("ranks = {}\n", ranks);
    }
    for (const Split* split : splits) {
        identity.inputs += fmt::format("data.{} = {}\n", split->name, split->digest);
    }
    identity.inputs += fmt::format("backbone = {}\n", backbone_digest);
    return identity;
}

std::string machine_identity(const std::string& kernels) {
    return build_description() + fmt::format("kernels = {}\nprocessor = {}\n", kernels, processor_kind());
}

}  // namespace ladle
