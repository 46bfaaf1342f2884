// Sample order, leaves and their owners.
#include "ladle/data/sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "ladle/core/check.hpp"
#include "ladle/core/random.hpp"

namespace ladle {
namespace {

// Exchanges matter where there are few leaves, and their search takes time squared.
constexpr std::size_t kFewLeaves = 1024;
constexpr int kDealingRounds = 100;
// With so many micro-batches per worker, their sizes no longer matter.
constexpr std::size_t kManyMicroBatches = 16;

std::int64_t tokens_of(const std::vector<Leaf>& leaves) {
    return std::accumulate(leaves.begin(), leaves.end(), std::int64_t{0},
                           [](std::int64_t sum, const Leaf& leaf) { return sum + leaf.tokens; });
}

std::int64_t cost_of(const std::vector<Leaf>& leaves) {
    return std::accumulate(leaves.begin(), leaves.end(), std::int64_t{0},
                           [](std::int64_t sum, const Leaf& leaf) { return sum + leaf.cost; });
}

std::vector<std::vector<Leaf>> join_consecutive(const std::vector<Leaf>& leaves, std::int64_t max_tokens) {
    std::vector<std::vector<Leaf>> groups;
    std::int64_t tokens = 0;
    for (const Leaf& leaf : leaves) {
        if (groups.empty() || tokens + leaf.tokens > max_tokens) {
            groups.emplace_back();
            tokens = 0;
        }
        groups.back().push_back(leaf);
        tokens += leaf.tokens;
    }
    return groups;
}

/// Who owns which leaf while they are being dealt.
class Dealing {
public:
    Dealing(const std::vector<Leaf>& leaves, int workers)
        : leaves_(leaves), load_(static_cast<std::size_t>(workers), 0), owned_(load_.size()) {}

    std::size_t least_loaded() const {
        return static_cast<std::size_t>(std::min_element(load_.begin(), load_.end()) - load_.begin());
    }
    void give(std::size_t leaf, std::size_t worker) {
        owned_[worker].push_back(leaf);
        load_[worker] += leaves_[leaf].cost;
    }

    /// Moves a leaf of the most loaded worker to another one, or swaps two, whichever leaves the lower of the higher
    /// loads; false if nothing does.
    bool lower_highest_load() {
        const auto from = static_cast<std::size_t>(std::max_element(load_.begin(), load_.end()) - load_.begin());
        std::int64_t lowest = load_[from];
        Exchange best;
        for (std::size_t to = 0; to < load_.size(); ++to) {
            for (std::size_t give = 0; to != from && give < owned_[from].size(); ++give) {
                // One past the end: nothing comes back.
                for (std::size_t take = 0; take <= owned_[to].size(); ++take) {
                    const std::int64_t shift = cost(from, give) - cost(to, take);
                    const std::int64_t peak = std::max(load_[from] - shift, load_[to] + shift);
                    if (shift > 0 && peak < lowest) {
                        lowest = peak;
                        best = {to, give, take, shift};
                    }
                }
            }
        }
        if (best.shift == 0) {
            return false;
        }
        std::vector<std::size_t>& ours = owned_[from];
        std::vector<std::size_t>& theirs = owned_[best.to];
        if (best.take < theirs.size()) {
            std::swap(ours[best.give], theirs[best.take]);
        } else {
            theirs.push_back(ours[best.give]);
            ours.erase(ours.begin() + static_cast<std::ptrdiff_t>(best.give));
        }
        load_[from] -= best.shift;
        load_[best.to] += best.shift;
        return true;
    }

    std::vector<std::vector<Leaf>> finish() {
        std::vector<std::vector<Leaf>> dealt(owned_.size());
        for (std::size_t worker = 0; worker < owned_.size(); ++worker) {
            std::sort(owned_[worker].begin(), owned_[worker].end());
            for (const std::size_t index : owned_[worker]) {
                dealt[worker].push_back(leaves_[index]);
            }
        }
        return dealt;
    }

private:
    struct Exchange {
        std::size_t to = 0;
        std::size_t give = 0;
        std::size_t take = 0;
        std::int64_t shift = 0;
    };
    std::int64_t cost(std::size_t worker, std::size_t place) const {
        return place < owned_[worker].size() ? leaves_[owned_[worker][place]].cost : 0;
    }

    const std::vector<Leaf>& leaves_;
    std::vector<std::int64_t> load_;
    std::vector<std::vector<std::size_t>> owned_;
};

}  // namespace

std::vector<std::uint32_t> sample_order(std::uint64_t seed, std::int64_t epoch, std::size_t samples) {
    const Stream stream{.seed = seed, .batch = static_cast<std::uint32_t>(epoch), .purpose = Purpose::sample_order};
    std::vector<std::uint32_t> order(samples);
    std::iota(order.begin(), order.end(), 0U);
    for (auto i = static_cast<std::uint32_t>(samples); i-- > 1;) {
        std::swap(order[i], order[uniform_below(random_word(stream, i), i + 1)]);
    }
    return order;
}

std::vector<Leaf> make_leaves(const Split& split, const std::vector<std::uint32_t>& samples, int leaf,
                              int hidden_size) {
    check(leaf > 0, "a leaf holds at least one sample");
    std::vector<Leaf> leaves;
    for (std::size_t place = 0; place < samples.size(); ++place) {
        if (place % static_cast<std::size_t>(leaf) == 0) {
            leaves.emplace_back().first_place = static_cast<std::int64_t>(place);
        }
        leaves.back().samples.push_back(samples[place]);
        const std::int64_t length = split.length(samples[place]);
        leaves.back().tokens += length;
        leaves.back().cost += length * (hidden_size + length);
    }
    return leaves;
}

std::vector<std::vector<Leaf>> deal_leaves(const std::vector<Leaf>& leaves, int workers) {
    check(workers > 0, "there is a worker to deal leaves to");
    std::vector<std::size_t> dearest_first(leaves.size());
    std::iota(dearest_first.begin(), dearest_first.end(), std::size_t{0});
    std::stable_sort(dearest_first.begin(), dearest_first.end(),
                     [&](std::size_t a, std::size_t b) { return leaves[a].cost > leaves[b].cost; });
    Dealing dealing(leaves, workers);
    for (const std::size_t index : dearest_first) {
        dealing.give(index, dealing.least_loaded());
    }
    int round = leaves.size() <= kFewLeaves ? 0 : kDealingRounds;
    while (round < kDealingRounds && dealing.lower_highest_load()) {
        ++round;
    }
    return dealing.finish();
}

std::vector<std::vector<Leaf>> make_micro_batches(const std::vector<Leaf>& leaves, std::int64_t max_tokens,
                                                  int workers) {
    auto consecutive = join_consecutive(leaves, max_tokens);
    if (leaves.empty() || consecutive.size() >= kManyMicroBatches * static_cast<std::size_t>(workers)) {
        return consecutive;
    }
    const auto round_up = [workers](std::int64_t count) { return (count + workers - 1) / workers * workers; };
    const auto most = static_cast<std::int64_t>(leaves.size());
    for (std::int64_t count = round_up((tokens_of(leaves) + max_tokens - 1) / max_tokens);; count += workers) {
        auto groups = deal_leaves(leaves, static_cast<int>(std::min(count, most)));
        const bool fit = std::all_of(groups.begin(), groups.end(), [max_tokens](const std::vector<Leaf>& group) {
            return group.size() <= 1 || tokens_of(group) <= max_tokens;
        });
        if (fit) {
            std::stable_sort(groups.begin(), groups.end(), [](const std::vector<Leaf>& a, const std::vector<Leaf>& b) {
                return cost_of(a) > cost_of(b);
            });
            return groups;
        }
    }
}

void check_world_size(int ranks, int batch, int leaf) {
    const int most = (batch + leaf - 1) / leaf;
    if (ranks > most) {
        throw ConfigError(fmt::format("{} ranks are too many", ranks),
                          fmt::format("a batch of {} samples has only {} leaves of {}", batch, most, leaf),
                          fmt::format("start at most {} ranks, or raise train.batch, or lower train.leaf", most));
    }
}

std::int64_t batches_per_epoch(std::size_t samples, int batch, bool drops_rest) {
    const std::int64_t rounded_up = drops_rest ? 0 : batch - 1;
    return std::max<std::int64_t>(1, (static_cast<std::int64_t>(samples) + rounded_up) / batch);
}

Sampler::Sampler(const Split& split, std::uint64_t seed, int batch, int leaf, int hidden_size, bool drops_rest)
    : split_(&split), seed_(seed), batch_(batch), leaf_(leaf), hidden_size_(hidden_size), drops_rest_(drops_rest) {
    check(split.samples() > 0 && batch > 0, "there are samples to draw batches from");
}

std::int64_t Sampler::batches_per_epoch() const {
    return ladle::batches_per_epoch(split_->samples(), static_cast<int>(batch_), drops_rest_);
}

std::vector<Leaf> Sampler::leaves(std::int64_t batch) {
    const std::int64_t epoch = batch / batches_per_epoch();
    if (epoch != epoch_) {
        order_ = sample_order(seed_, epoch, split_->samples());
        epoch_ = epoch;
    }
    const std::int64_t begin = batch % batches_per_epoch() * batch_;
    const std::int64_t end = std::min(begin + batch_, static_cast<std::int64_t>(order_.size()));
    return make_leaves(*split_, {order_.begin() + begin, order_.begin() + end}, leaf_, hidden_size_);
}

}  // namespace ladle
