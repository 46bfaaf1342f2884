// Embeddings and blocks.
#include "ladle/models/encoder.hpp"

#include <algorithm>

#include "ladle/core/check.hpp"

namespace ladle {

template <class Real>
Encoder<Real>::Encoder(const Kernels<Real>& kernels, const ModelSpec& spec, NamedTensors& tensors,
                       ParameterTable& table)
    : config_(spec.backbone), kind_(adapter_kind(spec.adapter.kind)) {
    const int hidden = config_.hidden_size;
    words_ = tensors.keep<Real>({"embeddings.word_embeddings.weight"}, {config_.vocab_size, hidden});
    positions_ = tensors.keep<Real>({"embeddings.position_embeddings.weight"}, {config_.max_positions, hidden});
    types_ = tensors.keep<Real>({"embeddings.token_type_embeddings.weight"}, {config_.type_vocab_size, hidden});
    auto gamma = tensors.keep<Real>({"embeddings.LayerNorm.weight"}, {hidden});
    norm_ = std::make_unique<Norm<Real>>(hidden, std::move(gamma), norm_bias(tensors, table), config_.layer_norm_eps);
    for (int layer = 0; layer < config_.num_layers; ++layer) {
        blocks_.push_back(std::make_unique<EncoderBlock<Real>>(kernels, spec, layer, tensors, table));
    }
}

template <class Real>
Bias<Real> Encoder<Real>::norm_bias(NamedTensors& tensors, ParameterTable& table) const {
    const std::string name = "embeddings.LayerNorm.bias";
    const Shape shape = {config_.hidden_size};
    if (!kind_.train_biases) {
        return Bias<Real>(tensors.keep<Real>({name}, shape));
    }
    const std::string full = std::string(find_architecture(config_.architecture).prefix) + name;
    return Bias<Real>(table,
                      {table.add(full, shape, "biases", {Initial::Kind::values, 0, tensors.take<float>(name, shape)})});
}

template <class Real>
void Encoder<Real>::prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan) {
    for (auto& block : blocks_) {
        block->prepare(kernels, parameters, plan);
    }
}

template <class Real>
const std::int32_t* Encoder<Real>::position_ids(const Context<Real>& context, const TokenRows& tokens) const {
    const bool after_pad = find_architecture(config_.architecture).positions_after_pad;
    const Rows& rows = tokens.rows;
    const auto count = static_cast<std::size_t>(rows.count);
    auto* ids = context.staging.template take<std::int32_t>(count);
    for (int s = 0; s < rows.segments(); ++s) {
        int next = after_pad ? config_.pad_token_id + 1 : 0;
        for (int r = rows.segment_offsets[s]; r < rows.segment_offsets[s + 1]; ++r) {
            // A pad token written in a text does not count, as in the published position rule.
            const bool pad = after_pad && tokens.input_ids[r] == config_.pad_token_id;
            ids[r] = pad ? config_.pad_token_id : next++;
        }
        check(next <= config_.max_positions, "samples fit the position table");
    }
    return ids;
}

template <class Real>
OutputRows Encoder<Real>::first_tokens(const Context<Real>& context, const Rows& rows) const {
    const auto count = static_cast<std::size_t>(rows.segments());
    auto* index = context.staging.template take<std::int32_t>(count);
    auto* offsets = context.staging.template take<int>(count + 1);
    auto* sample = context.staging.template take<std::uint32_t>(count);
    auto* token = context.staging.template take<std::uint32_t>(count);
    auto* pass = context.staging.template take<std::uint32_t>(count);
    for (std::size_t s = 0; s < count; ++s) {
        const int row = rows.segment_offsets[s];
        index[s] = row;
        offsets[s] = static_cast<int>(s);
        sample[s] = rows.origins.sample[row];
        token[s] = rows.origins.token[row];
        pass[s] = rows.origins.pass[row];
    }
    offsets[count] = rows.segments();
    OutputRows output;
    output.rows = rows;
    output.rows.count = rows.segments();
    output.rows.segment_offsets = offsets;
    output.rows.origins = {sample, token, pass};
    output.index = index;
    return output;
}

/// All that forward and backward read of the batch, by one copy: rows and first tokens in `saved`, and the ids.
template <class Real>
typename Encoder<Real>::InputIds Encoder<Real>::place_input(const Context<Real>& context, const TokenRows& tokens,
                                                            EncoderSaved<Real>& saved) const {
    const auto count = static_cast<std::size_t>(tokens.rows.count);
    InputIds input = {tokens.input_ids, position_ids(context, tokens), tokens.type_ids};
    saved.rows = tokens.rows;
    saved.first_tokens = first_tokens(context, tokens.rows);
    Placement placement;
    place_rows(placement, saved.rows);
    place_rows(placement, saved.first_tokens.rows);
    placement.add(saved.first_tokens.index, static_cast<std::size_t>(tokens.rows.segments()));
    placement.add(input.input_ids, count);
    placement.add(input.position_ids, count);
    placement.add(input.type_ids, count);
    placement.place(context.arena, context.staging);
    saved.all_rows.rows = saved.rows;
    return input;
}

template <class Real>
const Real* Encoder<Real>::forward(const Context<Real>& context, const TokenRows& tokens, bool all_rows,
                                   EncoderSaved<Real>& saved) const {
    const InputIds input = place_input(context, tokens, saved);
    const Rows& rows = saved.rows;
    const auto count = static_cast<std::size_t>(rows.count);
    const auto hidden = static_cast<std::size_t>(config_.hidden_size);
    saved.all_rows_wanted = all_rows;
    saved.blocks.assign(blocks_.size(), {});
    saved.hidden.clear();

    Real* x = context.arena.template take<Real>(count * hidden);
    context.kernels.embed(rows.count, config_.hidden_size, input.input_ids, input.position_ids, input.type_ids,
                          words_.get(), positions_.get(), types_.get(), x);
    norm_->forward(context, rows, {}, x, nullptr, nullptr, x, saved.embedding_norm);
    saved.embedding_dropout = context.dropout.at(Site::embeddings, 0, config_.hidden_dropout);
    context.kernels.dropout(rows.count, config_.hidden_size, rows.placed.origins, saved.embedding_dropout, x, x);
    saved.hidden.push_back(x);
    for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
        const bool last = layer + 1 == blocks_.size();
        const OutputRows& output = last && !all_rows ? saved.first_tokens : saved.all_rows;
        Real* y = context.arena.template take<Real>(static_cast<std::size_t>(output.rows.count) * hidden);
        blocks_[layer]->forward(context, rows, output, x, y, saved.blocks[layer]);
        saved.hidden.push_back(y);
        x = y;
    }
    return x;
}

template <class Real>
void Encoder<Real>::backward(const Context<Real>& context, const EncoderSaved<Real>& saved, const Real* dy,
                             GradientSum<Real>& gradients) const {
    if (kind_.site == AdapterSite::none && !kind_.train_biases) {
        return;
    }
    const Rows& rows = saved.rows;
    const auto hidden = static_cast<std::size_t>(config_.hidden_size);
    // A block's gradient is read by the block below it alone.
    const std::size_t count = static_cast<std::size_t>(rows.count) * hidden;
    Real* const turns[2] = {context.arena.template take<Real>(count), context.arena.template take<Real>(count)};
    for (std::size_t layer = blocks_.size(); layer-- > 0;) {
        const bool last = layer + 1 == blocks_.size();
        const OutputRows& output = last && !saved.all_rows_wanted ? saved.first_tokens : saved.all_rows;
        const Reach reach = layer == 0 && !kind_.train_biases ? Reach::adapter_only : Reach::input;
        Real* dx = turns[layer % 2];
        blocks_[layer]->backward(context, rows, output, saved.blocks[layer], dy, reach, dx, gradients);
        dy = dx;
    }
    if (kind_.train_biases) {
        Real* dx = turns[1];
        context.kernels.dropout(rows.count, config_.hidden_size, rows.placed.origins, saved.embedding_dropout, dy, dx);
        norm_->backward(context, rows, saved.embedding_norm, dx, nullptr, nullptr, gradients);
    }
}

template class Encoder<float>;
template class Encoder<double>;

}  // namespace ladle
