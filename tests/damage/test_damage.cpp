// Damaged files: a flipped bit at every byte and every truncation of a small checkpoint, shard and soup are named
// errors, or the contents are still the same by digest. LADLE_SOAK=1: every bit of every byte. With sanitizers, which
// make each try some ten times as long, every seventh place.
#define BOOST_TEST_MODULE damage
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "io/scratch.hpp"
#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/io/checkpoint.hpp"
#include "ladle/io/inspect.hpp"
#include "ladle/io/soup.hpp"

using namespace ladle;

namespace {

constexpr const char* kSeal = "\nladle-file-sha256 ";

bool is_soak() {
    return std::getenv("LADLE_SOAK") != nullptr;
}

/// Distance between the places that are tried.
std::size_t stride() {
#if defined(__SANITIZE_ADDRESS__)
    return is_soak() ? 1 : 7;
#else
    return 1;
#endif
}

/// Places tried in `bytes` bytes.
std::size_t places(std::size_t bytes) {
    return (bytes + stride() - 1) / stride();
}

ParameterTable small_table() {
    ParameterTable table;
    table.add("down.weight", {4, 6}, "adapters", {});
    table.add("down.bias", {4}, "adapters", {});
    return table;
}

std::string digest_of(const Checkpoint& checkpoint) {
    Digest digest;
    digest.add_text(checkpoint.identity_options).add_text(checkpoint.identity_inputs);
    digest.add_text(checkpoint.identity_machine).add_text(std::to_string(checkpoint.step));
    digest.add_text(std::to_string(checkpoint.best_step)).add(&checkpoint.best_score, sizeof(double));
    for (const auto* values : {&checkpoint.parameters, &checkpoint.first_moment, &checkpoint.second_moment}) {
        digest.add(values->data(), values->size() * sizeof(float));
    }
    return digest.add(checkpoint.steps.data(), checkpoint.steps.size() * sizeof(std::int64_t)).finish();
}

/// A kind of file: how it is made, and how the program reads it to a digest of what it holds.
struct Kind {
    const char* name;
    std::function<void(const std::string& directory)> write;
    std::function<std::string(const std::string& path)> read;
};

void make_checkpoint(const std::string& directory) {
    Checkpoint checkpoint;
    checkpoint.identity_options = "optim.lr = 0.001\nrun.seed = 1\n";
    checkpoint.identity_inputs = "data.train = abc\n";
    checkpoint.identity_machine = "compiler = g++\n";
    checkpoint.step = 4;
    checkpoint.best_score = 0.75;
    checkpoint.best_step = 2;
    checkpoint.parameters.assign(28, 0.5F);
    checkpoint.first_moment.assign(28, 0.25F);
    checkpoint.second_moment.assign(28, 0.125F);
    checkpoint.steps = {4, 4};
    write_checkpoint(directory, small_table(), checkpoint);
}

void make_shard(const std::string& directory) {
    Split split;
    split.task = "colours";
    split.name = "train";
    split.model_family = "bert";
    split.label_names = {"red", "green"};
    split.max_length = 16;
    split.tokenizer_type = "wordpiece";
    split.tokenizer_digest = "00ff";
    split.vocab_size = 30522;
    split.source_files = {"train.tsv"};
    split.source_digests = {"11ee"};
    split.input_ids = {101, 5, 102, 101, 7, 102, 30521, 102};
    split.offsets = {0, 3, 8};
    split.sep_pos = {0, 3};
    split.labels = {1, 0};
    split.idx = {0, 2};
    write_shard(directory + "/step-4.h5", split);
}

void make_soup(const std::string& directory) {
    Soup soup;
    soup.architecture = "bert";
    soup.hidden_size = 6;
    soup.num_layers = 1;
    soup.adapter_kind = "adamix";
    soup.adapter_size = 3;
    soup.num_experts = 2;
    soup.share_up = true;
    soup.task = "mrpc";
    soup.label_names = {"not_equivalent", "equivalent"};
    for (const Bank& bank : soup_banks(soup, 0)) {
        for (int k = 0; k < bank.experts; ++k) {
            for (const std::string& part : bank.parts()) {
                const Shape shape = bank.part_shape(part);
                const std::vector<float> values(shape_elements(shape), 0.5F);
                soup.tensors.emplace_back(bank.tensor_name(k, part), Tensor::from_floats(shape, values.data()));
            }
        }
    }
    const std::vector<float> head(12, 0.25F);
    soup.tensors.emplace_back("classifier.weight", Tensor::from_floats({2, 6}, head.data()));
    soup.tensors.emplace_back("classifier.bias", Tensor::from_floats({2}, head.data()));
    write_soup(directory + "/step-4.h5", soup);
}

const std::vector<Kind>& kinds() {
    static const std::vector<Kind> all = {
        {"checkpoint", make_checkpoint,
         [](const std::string& path) { return digest_of(read_checkpoint(path, small_table())); }},
        {"shard", make_shard, [](const std::string& path) { return read_shard(path).digest; }},
        {"soup", make_soup,
         [](const std::string& path) {
             const Soup soup = read_soup(path);
             return tensor_digest(soup) + soup.digest;
         }},
        {"inspected checkpoint", make_checkpoint, [](const std::string& path) { return inspect_path(path).digest; }},
    };
    return all;
}

struct Count {
    std::size_t named = 0;
    std::size_t same = 0;
    std::size_t silent = 0;
    std::size_t unnamed = 0;
    std::size_t crashed = 0;  ///< or without an end, in a child process
};

/// One file of a kind, damaged again and again.
class Patient {
public:
    explicit Patient(const Kind& kind) : kind_(kind), path_(scratch_.path("step-4.h5")) {
        kind.write(scratch_.directory());
        bytes_ = slurp(path_);
        whole_ = kind.read(path_);
    }
    const std::string& bytes() const { return bytes_; }
    /// The bytes under the checksum line.
    std::string content() const { return bytes_.substr(0, bytes_.find(kSeal)); }

    void try_bytes(const std::string& damaged) {
        // A new file: some file systems put one that is cut and written again on the disk at once.
        std::filesystem::remove(path_);
        spill(path_, damaged);
        try {
            const std::string read = kind_.read(path_);
            ++(read == whole_ ? count_.same : count_.silent);
        } catch (const DataError& error) {
            ++(std::string(error.what()).find(path_) != std::string::npos ? count_.named : count_.unnamed);
        }
    }
    /// The same in a child process, because HDF5 can crash or hang on such bytes.
    void try_in_child(const std::string& damaged) {
        const pid_t child = fork();
        if (child == 0) {
            count_ = {};
            for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGALRM}) {
                std::signal(signal, SIG_DFL);
            }
            alarm(1);
            try_bytes(damaged);
            _exit(count_.same != 0 ? 0 : count_.silent != 0 ? 1 : count_.named != 0 ? 2 : 3);
        }
        int status = 0;
        waitpid(child, &status, 0);
        std::size_t* const counts[] = {&count_.same, &count_.silent, &count_.named, &count_.unnamed};
        const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        ++(code >= 0 && code < 4 ? *counts[code] : count_.crashed);
    }
    Count report(const char* damage) {
        BOOST_TEST_MESSAGE(kind_.name << ", " << bytes_.size() << " bytes, " << damage << ": " << count_.named
                                      << " named, " << count_.same << " the same contents, " << count_.silent
                                      << " silent, " << count_.crashed << " crashed");
        BOOST_TEST(count_.silent == 0U);
        BOOST_TEST(count_.unnamed == 0U);
        return count_;
    }

private:
    const Kind& kind_;
    Scratch scratch_;
    std::string path_;
    std::string bytes_;
    std::string whole_;
    Count count_;
};

std::string flipped(std::string bytes, std::size_t at, std::size_t bit) {
    bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ (1U << bit));
    return bytes;
}

std::string sealed(const std::string& content) {
    return content + kSeal + Digest().add(content.data(), content.size()).finish() + "\n";
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_flipped_bit_at_every_byte) {
    for (const Kind& kind : kinds()) {
        Patient patient(kind);
        for (std::size_t at = 0; at < patient.bytes().size(); at += stride()) {
            for (std::size_t bit = is_soak() ? 0 : at % 8; bit < (is_soak() ? 8 : at % 8 + 1); ++bit) {
                patient.try_bytes(flipped(patient.bytes(), at, bit));
            }
        }
        BOOST_TEST(patient.report("a flipped bit").named == places(patient.bytes().size()) * (is_soak() ? 8 : 1));
    }
}

BOOST_AUTO_TEST_CASE(every_truncation) {
    for (const Kind& kind : kinds()) {
        Patient patient(kind);
        for (std::size_t size = 0; size < patient.bytes().size(); size += stride()) {
            patient.try_bytes(patient.bytes().substr(0, size));
        }
        BOOST_TEST(patient.report("truncated").named == places(patient.bytes().size()));
    }
}

BOOST_AUTO_TEST_CASE(zeroed_sectors_and_bytes_behind_the_end) {
    for (const Kind& kind : kinds()) {
        Patient patient(kind);
        for (std::size_t begin = 0; begin < patient.bytes().size(); begin += 512) {
            std::string damaged = patient.bytes();
            const std::size_t count = std::min<std::size_t>(512, damaged.size() - begin);
            damaged.replace(begin, count, count, '\0');
            patient.try_bytes(damaged);
        }
        patient.try_bytes(patient.bytes() + '\0');
        patient.try_bytes(patient.bytes() + patient.bytes());
        patient.report("zeroed or extended");
    }
}

// A checksum line that fits the damage, which no accident makes: what HDF5's own checksums and the digest of the
// contents notice. HDF5 itself may crash on such a file (its heap of texts carries no checksum); wrong contents never
// pass.
BOOST_AUTO_TEST_CASE(a_flipped_bit_under_a_forged_checksum) {
    for (const Kind& kind : kinds()) {
        Patient patient(kind);
        const std::string content = patient.content();
        for (std::size_t at = 0; at < content.size(); at += is_soak() ? 7 : 50 * stride()) {
            patient.try_in_child(sealed(flipped(content, at, at % 8)));
        }
        BOOST_TEST(patient.report("forged").named > 0U);
    }
}

BOOST_AUTO_TEST_CASE(a_checkpoint_under_another_name_is_refused_and_named) {
    const Scratch scratch;
    make_checkpoint(scratch.directory());
    std::filesystem::copy(scratch.path("step-4.h5"), scratch.path("step-9.h5"));
    spill(scratch.path("step-7.h5"), "");
    const FoundCheckpoint found = find_checkpoint(scratch.directory(), small_table());
    BOOST_TEST(found.path == scratch.path("step-4.h5"));
    BOOST_TEST_REQUIRE(found.refused.size() == 2U);
    BOOST_TEST(found.refused[0].find("step-9.h5") != std::string::npos);
    BOOST_TEST(found.refused[1].find("step-7.h5") != std::string::npos);
}
