// ladle convert: a soup between ladle's own file and the formats of other programs.
#include <fmt/format.h>

#include "convert_adapter.hpp"
#include "jobs.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/export.hpp"
#include "ladle/train/soup_export.hpp"
#include "ladle/train/soup_model.hpp"
#include "prepare_words.hpp"

namespace ladle {
namespace {

Soup read_input(const JobOptions& job) {
    const std::string& path = job.positional[0];
    const std::string from = job.value("from", "auto");
    if (from != "auto" && soup_format(from) != detect_soup_format(path)) {
        throw DataError(fmt::format("cannot read {} as {}", path, from), "its content is that of another format",
                        "leave --from out");
    }
    Soup soup = import_soup(path);
    if (!job.config.data.task.empty() || job.has("labels")) {
        name_task(soup, job.config.data.task, split_words(job.value("labels")), path);
    }
    return soup;
}

bool is_automatic(const JobOptions& job) {
    return job.value("to", "auto") == "auto";
}

SoupExport parse_target(const JobOptions& job) {
    const std::string merged_as = job.value("merged-as", "copies");
    if (merged_as != "copies" && merged_as != "one") {
        throw ConfigError(fmt::format("unknown --merged-as \"{}\"", merged_as), "it is copies or one", "choose one");
    }
    SoupExport target;
    target.path = job.positional[1];
    target.one_expert = merged_as == "one";
    target.per_expert = job.has("experts");
    if (!is_automatic(job)) {
        target.format = soup_format(job.value("to"));
    }
    return target;
}

std::string verify(const JobOptions& job, const Soup& soup, const SoupExport& target, Communicator& comm) {
    verify_export(soup, target);
    // A model without code of its own holds no soup that could be compared.
    const bool by_logits_only = target.format == SoupFormat::model && !has_own_code(soup);
    const std::string read = by_logits_only ? ", read back" : ", read back and equal";
    if (job.config.model.path.empty()) {
        return read;
    }
    const LogitDifference difference = compare_logits(soup, target, job.config, comm);
    return fmt::format("{}, logits of {} sequences differ by at most {:.3g} ({:.3g} allowed)", read, difference.samples,
                       difference.largest, difference.limit);
}

int convert(const JobOptions& job, Communicator& comm) {
    if (job.positional.size() != 2) {
        throw ConfigError("ladle convert needs INPUT and OUTPUT",
                          fmt::format("{} paths are given", job.positional.size()),
                          "for instance: ladle convert soup.h5 --to safetensors soup.safetensors");
    }
    const std::optional<AdapterFormat> from = detect_adapter_format(job.positional[0]);
    if (converts_adapter(job, from)) {
        fmt::print("{}", convert_adapter(job, from));
        return static_cast<int>(ExitCode::done);
    }
    SoupExport target = parse_target(job);
    const Soup soup = read_input(job);
    std::string reason;
    if (is_automatic(job)) {
        const FormatChoice choice = choose_format(soup, target.per_expert);
        target.format = choice.format;
        reason = fmt::format(" ({})", choice.why);
    }
    ModelSource source;
    if (target.format == SoupFormat::model && !job.config.model.path.empty()) {
        source = open_model_source(soup, job.config);
        target.model = &source;
    }
    export_soup(soup, target);
    const std::string verified = job.has("verify") ? verify(job, soup, target, comm) : "";
    fmt::print("{}: {}{}, kind {}, tensors_sha256 {}{}\n", target.path, format_name(target.format), reason,
               soup.adapter_kind, tensor_digest(soup), verified);
    return static_cast<int>(ExitCode::done);
}

}  // namespace

Job convert_job() {
    JobSpec spec;
    spec.name = "convert";
    spec.purpose = "Convert soups and experts of decoders to and from files that PyTorch opens.";
    spec.options = {"data.task", "model.path", "moa"};
    spec.switches = {
        {"to", "FORMAT",
         "The output is in this format: soup, adamix, safetensors, adapters, peft or model; auto, the default, takes "
         "the first of adapters and peft that holds the soup exactly, else safetensors. Experts of decoders: adapter, "
         "moa (a directory with adapter.pth and adapter_params.json), peft (plain LoRA) or safetensors, from any of "
         "these or from a training checkpoint of MoA; the files of MoA need moa.system and model.path."},
        {"from", "FORMAT", "The input must be in this format; auto, the default, tells it by the content."},
        {"labels", "A,B,...", "The outputs of a file that does not name them are these classes, in this order."},
        {"verify", "",
         "What was written is read back and compared, bit by bit; with model.path also by logits on the processor."},
        {"merged-as", "copies|one", "A merged soup becomes as many equal AdaMix experts as it had, or one."},
        {"experts", "", "Each expert gets an adapters directory of its own: e0, e1, and so on."}};
    spec.positional = "INPUT OUTPUT";
    spec.examples = {"ladle convert runs/mrpc/soup.h5 export/mrpc --verify",
                     "ladle convert runs/mrpc/soup.h5 --to model model/mrpc --model.path MODEL --verify",
                     "ladle convert pytorch_model_mnli_expert_soup.bin --data.task mnli --to soup mnli.h5",
                     "ladle convert mine.safetensors --data.task mine --labels bad,good --to soup mine.h5",
                     "ladle convert runs/math/best.h5 --to moa export/math --verify",
                     "ladle convert export/math --to adapter math.h5 --moa.system soft-moa --model.path MODEL",
                     "ladle convert checkpoint-1.pth --to adapter math.h5 --moa.system soft-moa --model.path MODEL"};
    return {spec, convert, false};
}

}  // namespace ladle
