// ladle convert: a soup between ladle's own file and the formats of other programs.
#include <fmt/format.h>

#include "jobs.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/export.hpp"
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

int convert(const JobOptions& job, Communicator&) {
    const std::string merged_as = job.value("merged-as", "copies");
    if (job.positional.size() != 2 || !job.has("to")) {
        throw ConfigError("ladle convert needs INPUT, --to FORMAT and OUTPUT",
                          fmt::format("{} paths are given{}", job.positional.size(), job.has("to") ? "" : ", no --to"),
                          "for instance: ladle convert soup.h5 --to safetensors soup.safetensors");
    }
    if (merged_as != "copies" && merged_as != "one") {
        throw ConfigError(fmt::format("unknown --merged-as \"{}\"", merged_as), "it is copies or one", "choose one");
    }
    const SoupExport target{soup_format(job.value("to")), job.positional[1], merged_as == "one", job.has("experts")};
    const Soup soup = read_input(job);
    export_soup(soup, target);
    if (job.has("verify")) {
        verify_export(soup, target);
    }
    fmt::print("{}: {}, tensors_sha256 {}{}\n", target.path, job.value("to"), tensor_digest(soup),
               job.has("verify") ? ", read back and equal" : "");
    return static_cast<int>(ExitCode::done);
}

}  // namespace

Job convert_job() {
    JobSpec spec;
    spec.name = "convert";
    spec.purpose = "Converts a soup to and from AdaMix .bin files, safetensors and adapters directories.";
    spec.options = {"data.task"};
    spec.switches = {
        {"to", "FORMAT", "The output is in this format: soup, adamix, safetensors or adapters."},
        {"from", "FORMAT", "The input must be in this format; auto, the default, tells it by the content."},
        {"labels", "A,B,...", "The outputs of a file that does not name them are these classes, in this order."},
        {"verify", "", "What was written is read back and compared, bit by bit."},
        {"merged-as", "copies|one", "A merged soup becomes as many equal AdaMix experts as it had, or one."},
        {"experts", "", "Each expert gets an adapters directory of its own: e0, e1, and so on."}};
    spec.positional = "INPUT OUTPUT";
    spec.examples = {"ladle convert runs/mrpc/soup.h5 --to adapters export/mrpc --verify",
                     "ladle convert pytorch_model_mnli_expert_soup.bin --data.task mnli --to soup mnli.h5",
                     "ladle convert mine.safetensors --data.task mine --labels bad,good --to soup mine.h5"};
    return {spec, convert, false};
}

}  // namespace ladle
