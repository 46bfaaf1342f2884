// A decoder whose experts are trained.
#include "ladle/train/trained_decoder.hpp"

#include <algorithm>
#include <cmath>

#include "ladle/config/options.hpp"
#include "ladle/train/decoder_experts.hpp"
#include "ladle/train/memory_plan.hpp"
#include "ladle/train/sample_values.hpp"

namespace ladle {

TrainedDecoder::TrainedDecoder(const Config& config, const RunData& data, DecoderWeights weights, std::string digest,
                               Communicator& comm)
    : config_(config),
      data_(data),
      backbone_digest_(std::move(digest)),
      engine_(config, weights, decoder_experts(config.moa, weights.config.layers), comm),
      objective_(config, engine_, data.train),
      planned_rows_(largest_micro_batch(data.train, config.train.batch, config.train.leaf, objective_.passes(),
                                        engine_.micro_batch_rows())
                        .rows()) {
    engine_.require_exact_sums(config);
}

SplitScores TrainedDecoder::scores(Communicator& comm, const std::vector<const Split*>& splits,
                                   const OnProgress& on_progress) {
    SplitScores scores;
    for (const Split* split : splits) {
        const double loss = mean_loss(comm, *split, on_progress);
        if (comm.is_root()) {
            scores.emplace_back(split->name, Scores{{"perplexity", std::exp(loss)}, {"loss", loss}});
        }
    }
    return scores;
}

/// Over the tokens to be predicted, on rank 0: each sample's sum in fp32, their sum in double in row order.
double TrainedDecoder::mean_loss(Communicator& comm, const Split& split, const OnProgress& on_progress) {
    engine_.prepare();
    const auto loss_of = [&](const Context<float>& context, const PackedBatch& packed, float* values) {
        const float* states = engine_.model().forward_only(context, token_rows(packed));
        const TokenLosses losses = token_losses(engine_.model(), context, packed, states);
        const auto rows = static_cast<std::size_t>(packed.rows());
        auto* of_rows = context.staging.take<float>(rows);
        engine_.kernels().memory().copy_out(of_rows, losses.losses, rows * sizeof(float));
        for (int s = 0; s < packed.samples; ++s) {
            double sum = 0;
            for (int row = packed.segment_offsets[static_cast<std::size_t>(s)];
                 row < packed.segment_offsets[static_cast<std::size_t>(s) + 1]; ++row) {
                sum += static_cast<double>(of_rows[row]);
            }
            values[s] = static_cast<float>(sum);
        }
    };
    const std::vector<float> losses = compute_by_sample(
        engine_, comm, split, {1, 1, engine_.model().config().dim, planned_rows_}, loss_of, on_progress);
    double sum = 0;
    for (const float loss : losses) {
        sum += static_cast<double>(loss);
    }
    return sum / static_cast<double>(std::count(split.is_target.begin(), split.is_target.end(), 1));
}

void TrainedDecoder::write_best(const std::string& path, const BestState& state) {
    AdapterFile best = make_adapter(engine_);
    best.backbone_digest = backbone_digest_;
    best.tokenizer_digest = data_.train.tokenizer_digest;
    best.system = config_.moa.system;
    best.task = data_.task.name;
    best.max_length = config_.data.max_length;
    best.labels = config_.data.labels;
    best.config = identity_text(config_);
    best.machine = state.machine;
    best.seed = config_.run.seed;
    best.step = state.step;
    best.score = state.score;
    best.metric = config_.eval.metric;
    best.selected_on = config_.eval.select;
    write_adapter_file(path, best);
}

BestState TrainedDecoder::read_best(const std::string& path) const {
    const AdapterFile best = read_adapter_file(path);
    return {best.step, best.score, best.machine};
}

BestState TrainedDecoder::load_best(const std::string& path) {
    const AdapterFile best = read_adapter_file(path);
    load_adapter(best, engine_);
    best_digest_ = best.digest;
    return {best.step, best.score, best.machine};
}

void TrainedDecoder::judge(Communicator& comm, const OnProgress& on_progress, Results& results) {
    std::vector<const Split*> dev;
    for (const Split& split : data_.dev) {
        dev.push_back(&split);
    }
    if (dev.empty()) {
        dev = data_.evaluated();
    }
    results.soup = scores(comm, dev, on_progress);
    const std::vector<float> best = engine_.parameters();
    // Every kind of expert is silent when its parameters are zero.
    engine_.set_parameters(std::vector<float>(best.size()));
    results.base = scores(comm, dev, on_progress);
    engine_.set_parameters(best);
}

std::string TrainedDecoder::write_products(const RunDirectory& directory, Results& results) {
    results.soup_digest = best_digest_;
    return directory.best_path();
}

}  // namespace ladle
