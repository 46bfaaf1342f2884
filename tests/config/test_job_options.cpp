// Command lines and config files of a job: precedence, origins, refusals, help.
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "ladle/config/job_options.hpp"
#include "ladle/core/error.hpp"

using namespace ladle;

namespace {

/// A directory that lives as long as one test.
struct Folder {
    std::filesystem::path path;
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "ladle_config_XXXXXX").string();
        path = mkdtemp(name.data());
    }
    ~Folder() { std::filesystem::remove_all(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(path / name, std::ios::binary) << text;
        return (path / name).string();
    }
};

JobSpec sample_job() {
    JobSpec spec;
    spec.name = "train";
    spec.purpose = "Trains.";
    spec.options = {"preset", "run", "optim", "train"};
    spec.switches = {{"dry-run", "", "Nothing is trained."}, {"resume", "WORD", "A run is continued."}};
    spec.examples = {"ladle train --run.dir a", "ladle train --run.dir b"};
    return spec;
}

std::string message_of(const std::vector<std::string>& arguments) {
    try {
        parse_job(sample_job(), arguments);
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_command_line_wins_over_later_files_over_earlier_files) {
    const Folder folder;
    const std::string first = folder.write("first.cfg", "[optim]\nlr = 1\nweight_decay = 1\nwarmup_ratio = 1\n");
    const std::string second = folder.write("second.cfg", "optim.lr = 2  # comment\noptim.weight_decay = 2\r\n");
    const JobOptions job =
        parse_job(sample_job(), {"--optim.lr", "3", "--config", first, "--config=" + second, "--run.seed=7"});
    BOOST_TEST(job.config.optim.lr == 3.0);
    BOOST_TEST(job.config.optim.weight_decay == 2.0);
    BOOST_TEST(job.config.optim.warmup_ratio == 1.0);
    BOOST_TEST(job.config.run.seed == 7U);
    BOOST_TEST(job.origins.at("optim.lr") == "command line");
    BOOST_TEST(job.origins.at("optim.weight_decay") == "file " + second);
    BOOST_TEST(!job.origins.contains("train.batch"));
}

BOOST_AUTO_TEST_CASE(single_options_override_the_preset) {
    const JobOptions mended = parse_job(sample_job(), {"--preset", "mended"});
    BOOST_TEST(mended.config.optim.gradient_reset == "none");
    BOOST_TEST(mended.config.train.leftover == "own");
    BOOST_TEST(!mended.given("train.leftover"));
    const JobOptions mixed = parse_job(sample_job(), {"--optim.gradient_reset", "zero", "--preset", "mended"});
    BOOST_TEST(mixed.config.optim.gradient_reset == "zero");
    BOOST_TEST(mixed.config.train.leftover == "own");
}

BOOST_AUTO_TEST_CASE(one_option_decides_the_learning_rate) {
    const auto rates = [](const char* base) {
        return resolve({{"moa.system", "lora", "command line"},
                        {"optim.lr", "0.01", "command line"},
                        {"optim.base_lr", base, "file moa.cfg"}})
            .config.optim.lr;
    };
    BOOST_CHECK_EXCEPTION(rates("0.006"), ConfigError, [](const ConfigError& error) {
        return contains(error.what(), "optim.lr = 0.01 and optim.base_lr = 0.006");
    });
    BOOST_TEST(rates("0") == 0.01);
}

BOOST_AUTO_TEST_CASE(misspelt_names_are_refused_with_a_suggestion) {
    BOOST_TEST(contains(message_of({"--optim.lrr", "3"}), "did you mean \"optim.lr\"?"));
    BOOST_TEST(contains(message_of({"--lr", "3"}), "did you mean \"optim.lr\"?"));
    BOOST_TEST(contains(message_of({"--dryrun"}), "did you mean \"dry-run\"?"));
    BOOST_TEST(contains(message_of({"--optim.weight", "3"}), "unknown option"));
    BOOST_TEST(contains(message_of({"--dry"}), "unknown option"));
    BOOST_TEST(contains(message_of({"--%canonical_option%=1"}), "unknown option"));
    BOOST_TEST(contains(message_of({"--adapter.size", "3"}), "does not use"));
    BOOST_TEST(contains(message_of({"word"}), "\"word\""));
    BOOST_TEST(contains(message_of({"-x"}), "-x"));
    BOOST_TEST(!message_of({"--optim.lr"}).empty());
    BOOST_TEST(!message_of({"--dry-run=1"}).empty());
    BOOST_TEST(contains(message_of({"--dry-run", "--dry-run"}), "twice"));
    BOOST_TEST(contains(message_of({"--optim.lr", "1", "--optim.lr=2"}), "--optim.lr is given twice"));
}

BOOST_AUTO_TEST_CASE(config_files_are_read_strictly) {
    const Folder folder;
    const std::string unknown = folder.write("unknown.cfg", "[optim]\nlrr = 1\n");
    BOOST_TEST(contains(message_of({"--config", unknown}), unknown));
    BOOST_TEST(contains(message_of({"--config", unknown}), "did you mean \"optim.lr\"?"));
    const std::string twice = folder.write("twice.cfg", "[optim]\nlr = 1\nlr = 1\n");
    BOOST_TEST(contains(message_of({"--config", twice}), "set twice"));
    const std::string junk = folder.write("junk.cfg", "[optim]\nlr\n");
    BOOST_TEST(contains(message_of({"--config", junk}), "not a config file"));
    const std::string bad_value = folder.write("bad.cfg", "[optim]\nlr = nan\n");
    BOOST_TEST(contains(message_of({"--config", bad_value}), bad_value));
    BOOST_TEST(contains(message_of({"--config", folder.path / "absent.cfg"}), "absent.cfg"));
    BOOST_TEST(!message_of({"--config", folder.path}).empty());
    const std::string big = folder.write("big.cfg", std::string(std::size_t{2} << 20U, '\n'));
    BOOST_TEST(contains(message_of({"--config", big}), "1 MiB"));
    const std::string other_jobs = folder.write("shared.cfg", "[adapter]\nsize = 48\n");
    BOOST_TEST(parse_job(sample_job(), {"--config", other_jobs}).config.adapter.size == 48);
}

BOOST_AUTO_TEST_CASE(the_printed_config_names_origins_and_reads_back) {
    const Folder folder;
    const std::string file = folder.write("one.cfg", "[train]\nbatch = 64\n");
    const JobOptions job =
        parse_job(sample_job(), {"--config", file, "--optim.lr", "0.5", "--preset", "mended", "--print-config"});
    BOOST_TEST(contains(job.show, "# file " + file));
    BOOST_TEST(contains(job.show, "# command line"));
    BOOST_TEST(contains(job.show, "# default"));
    BOOST_TEST(contains(job.show, "# preset mended"));
    const JobOptions again = parse_job(sample_job(), {"--config", folder.write("two.cfg", job.show)});
    BOOST_TEST(again.config.optim.lr == 0.5);
    BOOST_TEST(again.config.train.batch == 64);
    BOOST_TEST(again.config.train.leftover == "own");
    BOOST_TEST(again.config.preset == "mended");
}

BOOST_AUTO_TEST_CASE(help_lists_every_option_of_the_job_and_works_beside_mistakes) {
    const JobOptions job = parse_job(sample_job(), {"--nonsense", "--help"});
    for (const std::string& name : job_option_names(sample_job())) {
        BOOST_TEST(contains(job.show, "--" + name + " "));
    }
    BOOST_TEST(!contains(job.show, "--adapter.size"));
    BOOST_TEST(contains(job.show, "--dry-run"));
    BOOST_TEST(contains(job.show, "Default: 32 samples."));
    BOOST_TEST(contains(job.show, "ladle train --run.dir b"));
}

BOOST_AUTO_TEST_CASE(plain_words_are_kept_where_the_job_takes_them) {
    JobSpec spec = sample_job();
    spec.positional = "FILE ...";
    const JobOptions job = parse_job(spec, {"a.h5", "--resume", "auto", "b.h5", "--dry-run"});
    BOOST_TEST(job.positional == (std::vector<std::string>{"a.h5", "b.h5"}), boost::test_tools::per_element());
    BOOST_TEST(job.value("resume") == "auto");
    BOOST_TEST(job.has("dry-run"));
    BOOST_TEST(!job.has("verify"));
}

BOOST_AUTO_TEST_CASE(the_config_files_of_the_repository_are_understood) {
    for (const std::string folder : {"", "/adakron", "/moa"}) {
        int files = 0;
        for (const auto& entry : std::filesystem::directory_iterator(LADLE_TEST_FIXTURES "/../../configs" + folder)) {
            if (entry.path().extension() == ".cfg") {
                ++files;
                BOOST_TEST_CONTEXT(entry.path()) {
                    BOOST_CHECK_NO_THROW(parse_job(sample_job(), {"--config", entry.path().string()}));
                }
            }
        }
        BOOST_TEST(files > 0);
    }
}

BOOST_AUTO_TEST_CASE(missing_required_options_are_named) {
    const JobOptions job = parse_job(sample_job(), {});
    BOOST_CHECK_THROW(require_option(job, "run.dir"), ConfigError);
    BOOST_CHECK_NO_THROW(require_option(job, "optim.lr"));
}
