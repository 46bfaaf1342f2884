// Which samples make up a global batch, how a batch is cut into leaves, and who computes which leaf. All of it is a
// function of seed, epoch and lengths, the same on every rank.
#pragma once

#include <cstdint>
#include <vector>

#include "ladle/data/shard.hpp"

namespace ladle {

/// Consecutive samples of a batch whose gradients are summed into one partial gradient by one thread.
struct Leaf {
    std::vector<std::uint32_t> samples;  ///< rows in the split
    std::int64_t first_place = 0;        ///< place of the first sample in its batch
    std::int64_t tokens = 0;             ///< of one pass
    std::int64_t cost = 0;               ///< time it takes, in a unit of no meaning; decides only who computes it
};

/// Order of an epoch's samples: a permutation of 0 .. samples-1 by Fisher-Yates from the end. For i = samples-1 down
/// to 1, place i is swapped with place uniform_below(random_word(stream, i), i + 1), where stream = {seed, batch =
/// epoch, no row, purpose sample_order}.
std::vector<std::uint32_t> sample_order(std::uint64_t seed, std::int64_t epoch, std::size_t samples);

/// Cuts samples, in this order, into leaves of `leaf` samples; the last one may be shorter. A sample of n tokens costs
/// n * (hidden_size + n): products take time by the token, attention by the pair of tokens.
std::vector<Leaf> make_leaves(const Split& split, const std::vector<std::uint32_t>& samples, int leaf, int hidden_size);

/// Deals leaves to `workers` (ranks, or micro-batches of a rank) by cost: from the dearest to the cheapest, ties by
/// place, each to the worker with the least so far, ties to the lowest; then leaves move or change places while that
/// lowers the highest load. Within a worker they are in order of place. Workers beyond the number of leaves get none.
std::vector<std::vector<Leaf>> deal_leaves(const std::vector<Leaf>& leaves, int workers);

/// Joins leaves into micro-batches of about equal cost and at most `max_tokens` tokens, a multiple of `workers` of them
/// where there are leaves enough, the dearest first (many are taken as they come); a leaf of more tokens is one by
/// itself.
std::vector<std::vector<Leaf>> make_micro_batches(const std::vector<Leaf>& leaves, std::int64_t max_tokens,
                                                  int workers);

/// Throws ConfigError if ranks exceed ceil(batch / leaf), naming the largest number that works.
void check_world_size(int ranks, int batch, int leaf);

/// Global batches that so many samples make up, at least 1; the last one may be smaller or, with `drops_rest`, is left
/// out then.
std::int64_t batches_per_epoch(std::size_t samples, int batch, bool drops_rest);

/// The global batches of a run.
class Sampler {
public:
    /// The split must outlive the sampler and have at least one sample. `drops_rest`: see batches_per_epoch.
    Sampler(const Split& split, std::uint64_t seed, int batch, int leaf, int hidden_size, bool drops_rest = false);
    std::int64_t batches_per_epoch() const;
    /// Leaves of global batch `batch`, counted since the start of the run; an epoch's last batch may be smaller.
    std::vector<Leaf> leaves(std::int64_t batch);

private:
    const Split* split_;
    std::uint64_t seed_;
    std::int64_t batch_;
    int leaf_;
    int hidden_size_;
    bool drops_rest_;
    std::int64_t epoch_ = -1;           ///< of order_
    std::vector<std::uint32_t> order_;  ///< [samples]
};

}  // namespace ladle
