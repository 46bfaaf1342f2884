// Experts of decoders between the formats that hold them.
#include "convert_adapter.hpp"

#include <fmt/format.h>

#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/instruction_split.hpp"
#include "ladle/io/adapter_formats.hpp"
#include "ladle/io/adapter_safetensors.hpp"
#include "ladle/io/moa_adapter.hpp"
#include "ladle/io/peft_adapter.hpp"
#include "ladle/models/decoder.hpp"
#include "ladle/train/decoder_files.hpp"

namespace ladle {
namespace {

void require_equal(const AdapterFile& written, const AdapterFile& read, const std::string& path) {
    const auto refuse = [&](const std::string& why) {
        throw DataError("what was written to " + path + " is not what was read back", why, "check the disk");
    };
    if (read.experts != written.experts || read.tensors.size() != written.tensors.size()) {
        refuse("the options or the number of tensors differ");
    }
    for (std::size_t i = 0; i < written.tensors.size(); ++i) {
        const auto& [name, tensor] = written.tensors[i];
        const auto& [read_name, read_tensor] = read.tensors[i];
        if (read_name != name || read_tensor.shape != tensor.shape || read_tensor.bytes != tensor.bytes) {
            refuse("tensor " + name + " differs");
        }
    }
}

/// What files of others leave open: what model.path says.
AdapterFile model_description(const JobOptions& job) {
    require_option(job, "model.path");
    const DecoderFiles files = open_decoder_files(job.config.model.path);
    AdapterFile adapter;
    adapter.block = block_shape(files.weights.config, 0);
    adapter.layers = files.weights.config.layers;
    adapter.backbone_digest = files.digest;
    adapter.tokenizer_digest = open_decoder_tokenizer(job.config.model.path)->facts().digest;
    adapter.task = kInstructionTask;
    adapter.labels = "published";
    return adapter;
}

/// The same with the system of moa.system.
AdapterFile published_description(const JobOptions& job) {
    require_option(job, "moa.system");
    AdapterFile adapter = model_description(job);
    adapter.system = job.config.moa.system;
    adapter.experts = moa_options(adapter.system, adapter.layers);
    return adapter;
}

/// What only soups have, and what the files say themselves.
void refuse_without_effect(const JobOptions& job, AdapterFormat from) {
    for (const char* name : {"from", "labels", "merged-as", "experts"}) {
        if (job.has(name)) {
            throw ConfigError(fmt::format("--{} has no effect on adapters of decoders", name), "it is for soups",
                              "leave it out");
        }
    }
    const bool lacks_system = from == AdapterFormat::moa || from == AdapterFormat::checkpoint;
    const bool lacks_model = lacks_system || from == AdapterFormat::peft;
    for (const std::string& name : option_names()) {
        const bool has_effect = (lacks_system && name == "moa.system") || (lacks_model && name == "model.path");
        if (job.given(name) && !has_effect) {
            throw ConfigError(fmt::format("--{} has no effect on {}", name, job.positional[0]),
                              "the files say all of it", "leave it out");
        }
    }
}

std::optional<AdapterFile> given_model(const JobOptions& job) {
    return job.config.model.path.empty() ? std::nullopt : std::optional(model_description(job));
}

AdapterFile read_adapter(const JobOptions& job, std::optional<AdapterFormat> format) {
    const std::string& path = job.positional[0];
    if (!format.has_value()) {
        throw DataError("cannot convert " + path, "it holds no experts of a decoder that ladle knows",
                        "name an adapter file, or the files of MoA or PEFT");
    }
    refuse_without_effect(job, *format);
    switch (*format) {
        case AdapterFormat::adapter:
            return adapter_of(Hdf5Reader::isolated(path, Hdf5Origin::ladle));
        case AdapterFormat::moa:
            return read_moa_adapter(path, published_description(job));
        case AdapterFormat::checkpoint:
            return read_moa_checkpoint(path, published_description(job));
        case AdapterFormat::peft:
            return read_peft_adapter(path, given_model(job));
        default:
            return read_adapter_safetensors(path);
    }
}

void write_adapter(const std::string& path, AdapterFormat format, AdapterFile& adapter) {
    switch (format) {
        case AdapterFormat::moa:
            return write_moa_adapter(path, adapter);
        case AdapterFormat::peft:
            return write_peft_adapter(path, adapter);
        case AdapterFormat::safetensors:
            return write_adapter_safetensors(path, adapter);
        default:
            return write_adapter_file(path, adapter);
    }
}

AdapterFile read_back(const std::string& path, AdapterFormat format, AdapterFile description) {
    description.tensors.clear();
    description.experts = moa_options(description.system, description.layers);
    switch (format) {
        case AdapterFormat::moa:
            return read_moa_adapter(path, std::move(description));
        case AdapterFormat::peft:
            return read_peft_adapter(path, std::nullopt);
        case AdapterFormat::safetensors:
            return read_adapter_safetensors(path);
        default:
            return read_adapter_file(path);
    }
}

/// auto is the format that other programs open, where there is one.
AdapterFormat target_format(const JobOptions& job, const AdapterFile& adapter) {
    const std::string to = job.value("to", "auto");
    if (to != "auto") {
        return adapter_format(to);
    }
    return fits_peft(adapter) ? AdapterFormat::peft : AdapterFormat::safetensors;
}

}  // namespace

bool converts_adapter(const JobOptions& job, std::optional<AdapterFormat> from) {
    const std::string to = job.value("to", "auto");
    // A torch file may as well be a soup; only decoders have a system.
    return to == "moa" || to == "adapter" ||
           (from.has_value() && (*from != AdapterFormat::checkpoint || job.given("moa.system")));
}

std::string convert_adapter(const JobOptions& job, std::optional<AdapterFormat> from) {
    const std::string& to = job.positional[1];
    AdapterFile adapter = read_adapter(job, from);
    const AdapterFormat format = target_format(job, adapter);
    write_adapter(to, format, adapter);
    if (job.has("verify")) {
        require_equal(adapter, read_back(to, format, adapter), to);
    }
    return fmt::format("{}: {}, {}, {} tensors{}\n", to, adapter_format_name(format), adapter.system,
                       adapter.tensors.size(), job.has("verify") ? ", read back and equal" : "");
}

}  // namespace ladle
