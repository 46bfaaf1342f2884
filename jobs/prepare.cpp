// ladle prepare: text files and a tokenizer become shards.
#include "ladle/data/prepare.hpp"

#include <fmt/format.h>

#include "jobs.hpp"
#include "ladle/core/error.hpp"
#include "prepare_words.hpp"

namespace ladle {
namespace {

JobSpec prepare_spec() {
    JobSpec spec;
    spec.name = "prepare";
    spec.purpose = "Turns the text files of a task and a tokenizer into shards for training.";
    spec.options = {"model.path", "data"};
    spec.switches = {
        {"strict", "", "The first malformed row is an error; otherwise such rows are skipped, counted and named."},
        {"train-file", "FILE", "Training rows are read from this .tsv, .csv or .jsonl file instead of data.source."},
        {"validation-file", "FILE", "Validation rows are read from this file."},
        {"test-file", "FILE", "Test rows, whose labels may be missing, are read from this file."},
        {"text-a", "COLUMN", "The first text is in this column; else sentence, sentence1 or text, whichever there is."},
        {"text-b", "COLUMN", "The second text of a pair is in this column; else sentence2 if there is one."},
        {"label", "COLUMN", "The label is in this column; else in the column label."},
        {"labels", "A,B,...", "The classes are these words in this order; else the words found, sorted."},
        {"regression", "", "Labels are numbers to be predicted, not classes."},
        {"threads", "N", "This many threads cut texts; else one per core. The shards do not depend on it."}};
    spec.examples = {"ladle prepare --data.task mrpc --data.source glue/MRPC --model.path MODEL --data.dir data/mrpc",
                     "ladle prepare --data.task mine --train-file a.csv --validation-file b.csv --text-a body "
                     "--model.path M --data.dir D"};
    return spec;
}

PrepareOptions read_options(const JobOptions& job) {
    PrepareOptions options;
    options.task = job.config.data.task;
    options.source = job.config.data.source;
    for (const char* split : {"train", "validation", "test"}) {
        if (const std::string name = fmt::format("{}-file", split); job.has(name)) {
            options.files.emplace_back(split, job.value(name));
        }
    }
    if (options.files.empty()) {
        require_option(job, "data.source");
    } else if (!options.source.empty()) {
        throw ConfigError("data.source and single files are both given", "only one of them can be read",
                          "leave out data.source, or --train-file and the like");
    }
    options.out_dir = job.config.data.dir;
    options.max_length = job.config.data.max_length;
    options.text_a_column = job.value("text-a");
    options.text_b_column = job.value("text-b");
    options.label_column = job.value("label");
    options.label_names = split_words(job.value("labels"));
    options.regression = job.has("regression");
    options.strict = job.has("strict");
    options.threads = parse_threads(job.value("threads"));
    return options;
}

int run_prepare(const JobOptions& job, Communicator&) {
    for (const char* name : {"data.task", "data.dir", "model.path"}) {
        require_option(job, name);
    }
    const PrepareOptions options = read_options(job);
    const PrepareReport report = prepare(options, *load_tokenizer(job.config.model.path));
    fmt::print("{}", report_text(report));
    return static_cast<int>(ExitCode::done);
}

}  // namespace

Job prepare_job() {
    return {prepare_spec(), run_prepare, false};
}

}  // namespace ladle
