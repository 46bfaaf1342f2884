// Comparison over ranks: a digest first, the texts themselves only when it differs.
#include "ladle/train/agreement.hpp"

#include <fmt/format.h>

#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/name_values.hpp"

namespace ladle {
namespace {

constexpr int kRanksNamed = 3;

/// Cuts the next part that ends with a zero byte off the front.
std::string next_part(const std::string& all, std::size_t& begin) {
    const std::size_t end = all.find('\0', begin);
    const std::string part = all.substr(begin, end - begin);
    begin = end + 1;
    return part;
}

std::string named(const std::string& name, const std::string& places) {
    const std::string place = value_of(places, name, "");
    return place.empty() ? name : fmt::format("{} ({})", name, place);
}

/// On rank 0 the ranks that differ from it, in words; on other ranks nothing.
std::string describe(Communicator& comm, const RankHolding& mine) {
    const std::string all = comm.gather(comm.place().host + '\0' + mine.values + '\0' + mine.places + '\0');
    std::string text;
    int differing = 0;
    std::size_t begin = 0;
    for (int rank = 0; begin < all.size(); ++rank) {
        const std::string host = next_part(all, begin);
        const std::string values = next_part(all, begin);
        const std::string places = next_part(all, begin);
        const auto differences = value_differences(mine.values, values);
        if (differences.empty() || ++differing > kRanksNamed) {
            continue;
        }
        for (const auto& [name, ours, theirs] : differences) {
            text += fmt::format("{}{} is {} on rank {} ({}), {} on rank 0", text.empty() ? "" : "; ",
                                named(name, places), theirs, rank, host, ours);
        }
    }
    return differing > kRanksNamed ? text + fmt::format("; and {} more ranks", differing - kRanksNamed) : text;
}

struct Disagreement {
    std::int64_t ranks = 0;  ///< that do not hold what rank 0 holds
    std::string text;        ///< which, in words
};

/// The same on all ranks.
Disagreement compare(Communicator& comm, const std::string& digest, const auto& holding) {
    Disagreement found;
    found.ranks = comm.broadcast_text(digest) == digest ? 0 : 1;
    comm.all_reduce_sum(&found.ranks, 1);
    if (found.ranks > 0) {
        found.text = comm.broadcast_text(describe(comm, holding()));
    }
    return found;
}

Disagreement compare(Communicator& comm, const RankHolding& mine) {
    return compare(comm, Digest().add_text(mine.values).finish(), [&] { return mine; });
}

}  // namespace

RankHolding inputs_held(const std::vector<const Split*>& splits, const PlaceOfSplit& place_of,
                        const std::string& backbone_files, const std::string& backbone_dir) {
    RankHolding held;
    for (const Split* split : splits) {
        held.values += fmt::format("data.{} = {}\n", split->name, split->digest);
        held.places += fmt::format("data.{} = {}\n", split->name, place_of(*split));
    }
    for (const auto& [file, digest] : name_values(backbone_files)) {
        held.values += fmt::format("backbone {} = {}\n", file, digest);
        held.places += fmt::format("backbone {0} = {1}/{0}\n", file, backbone_dir);
    }
    return held;
}

void require_same_on_all_ranks(Communicator& comm, const std::string& what, const RankHolding& mine) {
    const Disagreement found = compare(comm, mine);
    if (found.ranks > 0) {
        throw DataError(fmt::format("{} differs on {} of {} ranks", what, found.ranks, comm.world_size()), found.text,
                        "give all ranks the same options and files");
    }
}

void require_same_machine(Communicator& comm, const std::string& machine) {
    const Disagreement found = compare(comm, {machine, ""});
    if (found.ranks > 0) {
        throw DeviceError(
            fmt::format("{} of {} ranks compute otherwise than rank 0", found.ranks, comm.world_size()), found.text,
            "use one build of ladle and hosts of one kind; cpu.isa pins the kernels to what all hosts have");
    }
}

void require_same_state(Communicator& comm, const ParameterTable& table, const std::vector<float>& parameters,
                        const AdamWState<float>& state, std::int64_t step) {
    Digest digest;
    for (const std::vector<float>* values : {&parameters, &state.first_moment, &state.second_moment}) {
        digest.add(values->data(), values->size() * sizeof(float));
    }
    digest.add(state.steps.data(), state.steps.size() * sizeof(std::int64_t));
    const Disagreement found = compare(comm, digest.finish(), [&] {
        RankHolding mine;
        for (std::size_t id = 0; id < table.all().size(); ++id) {
            const Parameter& parameter = table.at(id);
            Digest tensor;
            for (const std::vector<float>* values : {&parameters, &state.first_moment, &state.second_moment}) {
                tensor.add(values->data() + parameter.offset, parameter.count * sizeof(float));
            }
            tensor.add(&state.steps[id], sizeof(std::int64_t));
            mine.values += fmt::format("{} = {}\n", parameter.name, tensor.finish().substr(0, 16));
        }
        return mine;
    });
    if (found.ranks > 0) {
        throw DeviceError(fmt::format("{} of {} ranks hold other parameters than rank 0 after step {}", found.ranks,
                                      comm.world_size(), step),
                          found.text,
                          "memory, network or processor of that host may be faulty; start again, on other hosts if it "
                          "comes back, to continue from the last checkpoint");
    }
}

}  // namespace ladle
