// Scores of routers: backward mirrors forward in reverse.
#include "ladle/adapters/moa/router_scores.hpp"

#include <optional>
#include <string>

namespace ladle {
namespace {

template <class Real>
class LinearScores final : public RouterScores<Real> {
public:
    explicit LinearScores(std::vector<TrainableLinear<Real>> layers) : layers_(std::move(layers)) {
        for (const TrainableLinear<Real>& layer : layers_) {
            columns_ += layer.out_features();
        }
    }

    int columns() const override { return columns_; }

    void prepare(const Kernels<Real>& kernels, const Real* parameters) override {
        for (TrainableLinear<Real>& layer : layers_) {
            layer.prepare(kernels, parameters);
        }
    }

    void forward(const Context<Real>& context, int rows, const Real* x, Real* scores,
                 ScoresSaved<Real>& saved) const override {
        const ArenaScope scope(context.scratch);
        saved.x = x;
        std::vector<PartProduct<Real>> parts;
        for (const TrainableLinear<Real>& layer : layers_) {
            parts.push_back(layer.part(context, 0, rows, take_rows<Real>(context.scratch, rows, layer.out_features())));
        }
        context.kernels.products(rows, x, parts);
        context.kernels.memory().zero(scores, element_count(rows, columns_) * sizeof(Real));
        int first = 0;
        for (const PartProduct<Real>& part : parts) {
            const int width = part.matrix->out_features();
            context.kernels.add_columns(rows, width, 1, part.y, columns_, first, scores);
            first += width;
        }
    }

    void backward(const Context<Real>& context, const Rows& rows, const ScoresSaved<Real>& saved, const Real* dscores,
                  Real* dx, GradientSum<Real>& gradients) const override {
        const ArenaScope scope(context.scratch);
        Real* room = take_rows<Real>(context.scratch, rows.count, layers_.front().in_features());
        int first = 0;
        for (const TrainableLinear<Real>& layer : layers_) {
            Real* part = take_rows<Real>(context.scratch, rows.count, layer.out_features());
            context.kernels.take_columns(rows.count, layer.out_features(), 1, dscores, columns_, first, part);
            layer.backward_weight(context, rows, 0, rows.passes, saved.x, part, gradients);
            layer.backward_input(context, rows.count, part, room, dx);
            first += layer.out_features();
        }
    }

private:
    std::vector<TrainableLinear<Real>> layers_;
    int columns_ = 0;
};

template <class Real>
class SwiGluScores final : public RouterScores<Real> {
public:
    SwiGluScores(TrainableLinear<Real> w1, TrainableLinear<Real> w2, TrainableLinear<Real> w3)
        : gate_(std::move(w1)), output_(std::move(w2)), up_(std::move(w3)) {}

    int columns() const override { return output_.out_features(); }

    void prepare(const Kernels<Real>& kernels, const Real* parameters) override {
        for (TrainableLinear<Real>* layer : {&gate_, &output_, &up_}) {
            layer->prepare(kernels, parameters);
        }
    }

    void forward(const Context<Real>& context, int rows, const Real* x, Real* scores,
                 ScoresSaved<Real>& saved) const override {
        const int width = gate_.out_features();
        Real* gate = take_rows<Real>(context.arena, rows, width);
        Real* up = take_rows<Real>(context.arena, rows, width);
        Real* hidden = take_rows<Real>(context.arena, rows, width);
        const PartProduct<Real> parts[] = {gate_.part(context, 0, rows, gate), up_.part(context, 0, rows, up)};
        context.kernels.products(rows, x, parts);
        context.kernels.silu_product(element_count(rows, width), gate, up, hidden);
        output_.forward(context, rows, hidden, scores);
        saved = {x, gate, up, hidden};
    }

    void backward(const Context<Real>& context, const Rows& rows, const ScoresSaved<Real>& saved, const Real* dscores,
                  Real* dx, GradientSum<Real>& gradients) const override {
        const ArenaScope scope(context.scratch);
        const int width = gate_.out_features();
        Real* dgate = take_rows<Real>(context.scratch, rows.count, width);
        Real* dup = take_rows<Real>(context.scratch, rows.count, width);
        Real* room = take_rows<Real>(context.scratch, rows.count, gate_.in_features());
        output_.backward_weight(context, rows, 0, rows.passes, saved.hidden, dscores, gradients);
        output_.backward_input(context, rows.count, dscores, dgate, nullptr);
        context.kernels.silu_product_backward(element_count(rows.count, width), saved.gate, saved.up, dgate, dgate,
                                              dup);
        up_.backward_weight(context, rows, 0, rows.passes, saved.x, dup, gradients);
        up_.backward_input(context, rows.count, dup, room, dx);
        gate_.backward_weight(context, rows, 0, rows.passes, saved.x, dgate, gradients);
        gate_.backward_input(context, rows.count, dgate, room, dx);
    }

private:
    TrainableLinear<Real> gate_;
    TrainableLinear<Real> output_;
    TrainableLinear<Real> up_;
};

}  // namespace

template <class Real>
std::unique_ptr<RouterScores<Real>> make_linear_scores(std::vector<TrainableLinear<Real>> layers) {
    return std::make_unique<LinearScores<Real>>(std::move(layers));
}

template <class Real>
std::unique_ptr<RouterScores<Real>> make_linear_scores(TrainableLinear<Real> layer) {
    std::vector<TrainableLinear<Real>> layers;
    layers.push_back(std::move(layer));
    return make_linear_scores(std::move(layers));
}

template <class Real>
std::unique_ptr<RouterScores<Real>> make_swiglu_scores(TrainableLinear<Real> w1, TrainableLinear<Real> w2,
                                                       TrainableLinear<Real> w3) {
    return std::make_unique<SwiGluScores<Real>>(std::move(w1), std::move(w2), std::move(w3));
}

template <class Real>
TrainableLinear<Real> find_linear(const Kernels<Real>& kernels, const ParameterTable& table, const std::string& name,
                                  bool bias, Precision precision) {
    std::optional<ParameterId> bias_id;
    if (bias) {
        bias_id = table.find(name + ".bias");
    }
    return TrainableLinear<Real>(kernels, table, table.find(name + ".weight"), bias_id, precision);
}

#define LADLE_INSTANTIATE(Real)                                                                                       \
    template std::unique_ptr<RouterScores<Real>> make_linear_scores(std::vector<TrainableLinear<Real>>);              \
    template std::unique_ptr<RouterScores<Real>> make_linear_scores(TrainableLinear<Real>);                           \
    template std::unique_ptr<RouterScores<Real>> make_swiglu_scores(TrainableLinear<Real>, TrainableLinear<Real>,     \
                                                                    TrainableLinear<Real>);                           \
    template TrainableLinear<Real> find_linear(const Kernels<Real>&, const ParameterTable&, const std::string&, bool, \
                                               Precision);
LADLE_INSTANTIATE(float)
LADLE_INSTANTIATE(double)
#undef LADLE_INSTANTIATE

}  // namespace ladle
