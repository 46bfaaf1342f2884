// Sample order, leaves and their owners.
#include "ladle/data/sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "ladle/core/check.hpp"
#include "ladle/core/random.hpp"

namespace ladle {

std::vector<std::uint32_t> sample_order(std::uint64_t seed, std::int64_t epoch, std::size_t samples) {
    const Stream stream{.seed = seed, .batch = static_cast<std::uint32_t>(epoch), .purpose = Purpose::sample_order};
    std::vector<std::uint32_t> order(samples);
    std::iota(order.begin(), order.end(), 0U);
    for (auto i = static_cast<std::uint32_t>(samples); i-- > 1;) {
        std::swap(order[i], order[uniform_below(random_word(stream, i), i + 1)]);
    }
    return order;
}

std::vector<Leaf> make_leaves(const Split& split, const std::vector<std::uint32_t>& samples, int leaf) {
    check(leaf > 0, "a leaf holds at least one sample");
    std::vector<Leaf> leaves;
    for (std::size_t place = 0; place < samples.size(); ++place) {
        if (place % static_cast<std::size_t>(leaf) == 0) {
            leaves.emplace_back().first_place = static_cast<std::int64_t>(place);
        }
        leaves.back().samples.push_back(samples[place]);
        leaves.back().tokens += split.length(samples[place]);
    }
    return leaves;
}

std::vector<std::vector<Leaf>> deal_leaves(const std::vector<Leaf>& leaves, int workers) {
    check(workers > 0, "there is a worker to deal leaves to");
    std::vector<std::size_t> longest_first(leaves.size());
    std::iota(longest_first.begin(), longest_first.end(), std::size_t{0});
    std::stable_sort(longest_first.begin(), longest_first.end(),
                     [&](std::size_t a, std::size_t b) { return leaves[a].tokens > leaves[b].tokens; });
    std::vector<std::int64_t> load(static_cast<std::size_t>(workers), 0);
    std::vector<std::vector<std::size_t>> owned(load.size());
    for (const std::size_t index : longest_first) {
        const auto worker = static_cast<std::size_t>(std::min_element(load.begin(), load.end()) - load.begin());
        load[worker] += leaves[index].tokens;
        owned[worker].push_back(index);
    }
    std::vector<std::vector<Leaf>> dealt(load.size());
    for (std::size_t worker = 0; worker < owned.size(); ++worker) {
        std::sort(owned[worker].begin(), owned[worker].end());
        for (const std::size_t index : owned[worker]) {
            dealt[worker].push_back(leaves[index]);
        }
    }
    return dealt;
}

std::vector<std::vector<Leaf>> make_micro_batches(const std::vector<Leaf>& leaves, std::int64_t max_tokens) {
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

void check_world_size(int ranks, int batch, int leaf) {
    const int most = (batch + leaf - 1) / leaf;
    if (ranks > most) {
        throw ConfigError(fmt::format("{} ranks are too many", ranks),
                          fmt::format("a batch of {} samples has only {} leaves of {}", batch, most, leaf),
                          fmt::format("start at most {} ranks, or raise train.batch, or lower train.leaf", most));
    }
}

Sampler::Sampler(const Split& split, std::uint64_t seed, int batch, int leaf)
    : split_(&split), seed_(seed), batch_(batch), leaf_(leaf) {
    check(split.samples() > 0 && batch > 0, "there are samples to draw batches from");
}

std::int64_t Sampler::batches_per_epoch() const {
    return (static_cast<std::int64_t>(split_->samples()) + batch_ - 1) / batch_;
}

std::vector<Leaf> Sampler::leaves(std::int64_t batch) {
    const std::int64_t epoch = batch / batches_per_epoch();
    if (epoch != epoch_) {
        order_ = sample_order(seed_, epoch, split_->samples());
        epoch_ = epoch;
    }
    const std::int64_t begin = batch % batches_per_epoch() * batch_;
    const std::int64_t end = std::min(begin + batch_, static_cast<std::int64_t>(order_.size()));
    return make_leaves(*split_, {order_.begin() + begin, order_.begin() + end}, leaf_);
}

}  // namespace ladle
