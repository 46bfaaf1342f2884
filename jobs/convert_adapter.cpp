// Adapters of decoders between ladle's own file and the published form.
#include "convert_adapter.hpp"

#include <fmt/format.h>

#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/instruction_split.hpp"
#include "ladle/io/moa_adapter.hpp"
#include "ladle/models/decoder.hpp"
#include "ladle/train/decoder_experts.hpp"
#include "ladle/train/decoder_files.hpp"

namespace ladle {
namespace {

void require_equal(const AdapterFile& written, const AdapterFile& read, const std::string& path) {
    if (read.experts != written.experts) {
        throw DataError("what was written to " + path + " is not what was read back", "the options differ",
                        "check the disk");
    }
    for (std::size_t i = 0; i < written.tensors.size(); ++i) {
        if (read.tensors[i].second.bytes != written.tensors[i].second.bytes) {
            throw DataError("what was written to " + path + " is not what was read back",
                            "tensor " + written.tensors[i].first + " differs", "check the disk");
        }
    }
}

/// What the published files leave open, from moa.system and the model.
AdapterFile published_description(const JobOptions& job) {
    require_option(job, "moa.system");
    require_option(job, "model.path");
    const DecoderFiles files = open_decoder_files(job.config.model.path);
    AdapterFile adapter;
    adapter.block = block_shape(files.weights.config, 0);
    adapter.layers = files.weights.config.layers;
    adapter.backbone_digest = files.digest;
    adapter.tokenizer_digest = open_decoder_tokenizer(job.config.model.path)->facts().digest;
    adapter.system = job.config.moa.system;
    adapter.experts = decoder_experts(job.config.moa, adapter.layers);
    adapter.task = kInstructionTask;
    adapter.labels = "published";
    return adapter;
}

/// What only soups have, and what the files say themselves.
void refuse_without_effect(const JobOptions& job) {
    for (const char* name : {"from", "labels", "merged-as", "experts"}) {
        if (job.has(name)) {
            throw ConfigError(fmt::format("--{} has no effect on adapters of decoders", name), "it is for soups",
                              "leave it out");
        }
    }
    for (const std::string& name : option_names()) {
        const bool is_needed = job.value("to") == "adapter" && name == "moa.system";
        if (job.given(name) && name != "model.path" && !is_needed) {
            throw ConfigError(fmt::format("--{} has no effect on convert --to {}", name, job.value("to")),
                              "the files say it", "leave it out");
        }
    }
}

}  // namespace

bool converts_adapter(const JobOptions& job) {
    return job.value("to") == "moa" || job.value("to") == "adapter";
}

std::string convert_adapter(const JobOptions& job) {
    if (job.positional.size() != 2) {
        throw ConfigError("ladle convert needs INPUT and OUTPUT",
                          fmt::format("{} paths are given", job.positional.size()),
                          "for instance: ladle convert runs/math/best.h5 --to moa export/math");
    }
    refuse_without_effect(job);
    const std::string& from = job.positional[0];
    const std::string& to = job.positional[1];
    const bool is_export = job.value("to") == "moa";
    AdapterFile adapter = is_export ? adapter_of(Hdf5Reader::isolated(from, Hdf5Origin::ladle))
                                    : read_moa_adapter(from, published_description(job));
    if (is_export) {
        write_moa_adapter(to, adapter);
    } else {
        write_adapter_file(to, adapter);
    }
    if (job.has("verify")) {
        AdapterFile description = adapter;
        description.tensors.clear();
        description.experts = moa_options(adapter.system, adapter.layers);
        require_equal(adapter, is_export ? read_moa_adapter(to, std::move(description)) : read_adapter_file(to), to);
    }
    return fmt::format("{}: {}, {}, {} tensors{}\n", to, job.value("to"), adapter.system, adapter.tensors.size(),
                       job.has("verify") ? ", read back and equal" : "");
}

}  // namespace ladle
