// Exact and plain sums of the same partial gradients, timed in turns.
#include "reduction.hpp"

#include <algorithm>

#include "ladle/train/agreement.hpp"

namespace ladle {
namespace {

constexpr float kGradientRange = 1e-3F;
constexpr int kTurns = 20;

/// The sums of one step on this rank.
class Sums {
public:
    Sums(ComputeEngine& engine, int ranks, const std::vector<std::int64_t>& uses)
        : engine_(engine),
          memory_(engine.kernels().memory()),
          partial_(memory_, engine.table().total_count()),
          exact_(memory_, GradientSum<float>::size(engine.table())),
          exact_total_(memory_, exact_.size()),
          rejected_(memory_, 1),
          plain_(memory_, partial_.size()),
          plain_total_(memory_, partial_.size()),
          gradient_(memory_, partial_.size()) {
        partial_.copy_in(random_values(partial_.size(), 0, 0, kGradientRange).data(), partial_.size());
        // This rank's share of the leaves, rounded up: the rank with the most work decides a step's time.
        for (const std::int64_t all_ranks : uses) {
            uses_.push_back((all_ranks + ranks - 1) / ranks);
        }
        leaves_ = *std::max_element(uses_.begin(), uses_.end());
    }

    void exact() {
        exact_.zero();
        for_leaf_tensors([&](const Parameter& parameter) {
            engine_.kernels().add_fixed_point(parameter.count, partial_.data() + parameter.offset, 1.0,
                                              exact_.data() + parameter.offset, rejected_.data());
        });
        exact_total_.zero();
        for (int worker = 0; worker < engine_.pool().workers(); ++worker) {
            engine_.kernels().add_sums(exact_.size(), exact_.data(), exact_total_.data());
        }
        engine_.reducer().all_reduce_sum(exact_total_.data(), exact_total_.size());
        engine_.kernels().from_fixed_point(gradient_.size(), exact_total_.data(), gradient_.data());
    }

    void plain() {
        plain_.zero();
        for_leaf_tensors([&](const Parameter& parameter) {
            engine_.kernels().add(parameter.count, partial_.data() + parameter.offset,
                                  plain_.data() + parameter.offset);
        });
        plain_total_.zero();
        for (int worker = 0; worker < engine_.pool().workers(); ++worker) {
            engine_.kernels().add(plain_.size(), plain_.data(), plain_total_.data());
        }
        engine_.reducer().all_reduce_sum(plain_total_.data(), plain_total_.size());
    }

private:
    template <class Add>
    void for_leaf_tensors(Add add) const {
        const auto& tensors = engine_.table().all();
        for (std::int64_t leaf = 0; leaf < leaves_; ++leaf) {
            for (std::size_t id = 0; id < tensors.size(); ++id) {
                if (leaf < uses_[id]) {
                    add(tensors[id]);
                }
            }
        }
    }

    ComputeEngine& engine_;
    DeviceMemory& memory_;
    DeviceArray<float> partial_;  ///< [total] what every leaf contributes
    std::vector<std::int64_t> uses_;
    std::int64_t leaves_ = 0;
    DeviceArray<std::int64_t> exact_;
    DeviceArray<std::int64_t> exact_total_;
    DeviceArray<std::int64_t> rejected_;
    DeviceArray<float> plain_;
    DeviceArray<float> plain_total_;
    DeviceArray<float> gradient_;
};

}  // namespace

BenchRecord reduction_record(const BenchOptions& options, Communicator& comm, ComputeEngine& engine, TrainingStep& step,
                             const StepResult& last, const BenchRecord& step_record) {
    Sums sums(engine, comm.world_size(), last.leaf_uses);
    std::vector<Timing> exact_turns;
    std::vector<Timing> plain_turns;
    std::vector<Timing> check_turns;
    sums.exact();
    sums.plain();
    for (int turn = 0; turn < kTurns; ++turn) {
        exact_turns.push_back(time_together(comm, [&] { sums.exact(); }));
        plain_turns.push_back(time_together(comm, [&] { sums.plain(); }));
        check_turns.push_back(time_together(
            comm, [&] { require_same_state(comm, engine.table(), engine.parameters(), step.optimizer().state(), 0); }));
    }
    BenchRecord record;
    if (!comm.is_root()) {
        return record;
    }
    const Timing exact = median(exact_turns);
    const Timing plain = median(plain_turns);
    const Timing check = median(check_turns);
    record["bench"] = "reduction";
    for (const char* key : {"dims", "lengths", "precision", "ranks", "threads", "batch", "passes"}) {
        record[key] = step_record[key];
    }
    const std::int64_t check_every = options.config.comm.check_every;
    record["parameters"] = engine.table().total_count();
    record["leaves"] = (options.config.train.batch + options.config.train.leaf - 1) / options.config.train.leaf;
    record["check_every"] = check_every;
    record["exact_seconds"] = rounded(exact.wall);
    record["plain_seconds"] = rounded(plain.wall);
    record["check_seconds"] = rounded(check.wall);
    record["exact_core_seconds"] = rounded(exact.core);
    record["plain_core_seconds"] = rounded(plain.core);
    record["check_core_seconds"] = rounded(check.core);
    // A single rank has nobody to compare with.
    const double checks = comm.world_size() > 1 && check_every > 0 ? 1.0 / static_cast<double>(check_every) : 0.0;
    const auto share = [&](double Timing::*kind, const char* step_key) {
        const double extra = exact.*kind - plain.*kind + checks * (check.*kind);
        return rounded(extra / step_record[step_key].get<double>());
    };
    record["extra_share_of_step"] = share(&Timing::wall, "seconds_per_step");
    record["extra_share_of_core_seconds"] = share(&Timing::core, "core_seconds_per_step");
    return record;
}

}  // namespace ladle
