// Reading a golden AdaMix file and running the model on it.
#include "adamix_case.hpp"

#include <cstring>

namespace ladle::test {
namespace {

constexpr int kDraws = 2;  // down and up

std::vector<double> as_doubles(const Tensor& tensor) {
    std::vector<double> values(tensor.elements());
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (tensor.dtype == DType::i64) {
            std::int64_t value = 0;
            std::memcpy(&value, tensor.bytes.data() + 8 * i, 8);
            values[i] = static_cast<double>(value);
        } else if (tensor.dtype == DType::f64) {
            std::memcpy(&values[i], tensor.bytes.data() + 8 * i, 8);
        } else {
            float value = 0;
            std::memcpy(&value, tensor.bytes.data() + 4 * i, 4);
            values[i] = static_cast<double>(value);
        }
    }
    return values;
}

}  // namespace

namespace {

/// A file that cannot be read or is of no known kind counts as one of ours, so that its own test case fails.
bool is_adamix(const std::string& path) {
    try {
        const std::string kind = fixture_kind(path);
        return kind == "adamix" || kind == "unknown";
    } catch (const std::exception&) {
        return true;
    }
}

}  // namespace

std::vector<std::string> adamix_files() {
    std::vector<std::string> files;
    for (const std::string& path : fixture_files("adamix", ".h5")) {
        if (is_adamix(path)) {
            files.push_back(path);
        }
    }
    return files;
}

PackedFixture::PackedFixture(const Hdf5Reader& file, int passes_) : passes(passes_) {
    const Shape shape = file.shape("/inputs/input_ids");
    const auto all_ids = as_doubles(file.tensor("/inputs/input_ids"));
    const auto mask = as_doubles(file.tensor("/inputs/attention_mask"));
    const auto all_types = as_doubles(file.tensor("/inputs/token_type_ids"));
    const auto samples = static_cast<std::size_t>(shape[0]);
    const auto length = static_cast<std::size_t>(shape[1]);
    segment_offsets.push_back(0);
    for (int p = 0; p < passes; ++p) {
        for (std::size_t s = 0; s < samples; ++s) {
            std::uint32_t t = 0;
            for (; t < length && mask[s * length + t] != 0; ++t) {
                ids.push_back(static_cast<std::int32_t>(all_ids[s * length + t]));
                types.push_back(static_cast<std::int32_t>(all_types[s * length + t]));
                sample.push_back(static_cast<std::uint32_t>(s));
                token.push_back(t);
                pass.push_back(static_cast<std::uint32_t>(p));
            }
            segment_offsets.push_back(static_cast<int>(ids.size()));
            if (p == 0) {
                lengths.push_back(static_cast<int>(t));
            }
        }
    }
    for (int s = 0; s < static_cast<int>(samples); s += 2) {
        leaf_offsets.push_back(s);
    }
    leaf_offsets.push_back(static_cast<int>(samples));
}

TokenRows PackedFixture::tokens() const {
    TokenRows result;
    result.rows.count = static_cast<int>(ids.size());
    result.rows.passes = passes;
    result.rows.samples = static_cast<int>(lengths.size());
    result.rows.leaves = static_cast<int>(leaf_offsets.size()) - 1;
    result.rows.segment_offsets = segment_offsets.data();
    result.rows.leaf_offsets = leaf_offsets.data();
    result.rows.origins = {sample.data(), token.data(), pass.data()};
    result.input_ids = ids.data();
    result.type_ids = types.data();
    return result;
}

template <class Real>
AdamixCase<Real>::AdamixCase(const std::string& path, const Kernels<Real>& kernels_, Precision precision)
    : file(path, Hdf5Origin::foreign), kernels(kernels_) {
    const auto whole = [&](const char* name) { return static_cast<int>(number(name)); };
    ModelSpec spec;
    spec.backbone.architecture = whole("arch") == 0 ? "bert" : "roberta";
    spec.backbone.hidden_size = whole("hidden_size");
    spec.backbone.num_layers = layers = whole("num_layers");
    spec.backbone.num_heads = whole("num_heads");
    spec.backbone.intermediate_size = whole("intermediate_size");
    spec.backbone.vocab_size = whole("vocab_size");
    spec.backbone.max_positions = whole("max_position_embeddings");
    spec.backbone.type_vocab_size = whole("type_vocab_size");
    spec.backbone.pad_token_id = whole("pad_token_id");
    spec.backbone.layer_norm_eps = number("layer_norm_eps");
    spec.adapter.size = whole("adapter_size");
    spec.adapter.num_experts = experts = whole("num_experts");
    spec.adapter.share_down = whole("sharing_down") != 0;
    spec.adapter.share_up = whole("sharing_up") != 0;
    spec.num_outputs = outputs = whole("num_labels");
    spec.precision = precision;
    consistency = whole("use_consistency_loss") != 0;
    const Shape inputs = file.shape("/inputs/input_ids");
    samples = static_cast<int>(inputs[0]);
    length = static_cast<int>(inputs[1]);
    TensorMap backbone;
    for (const std::string& name : file.members("/weights")) {
        if (name.find("ExpertSoup") == std::string::npos) {
            backbone[name] = file.tensor("/weights/" + name);
        }
    }
    NamedTensors tensors(std::move(backbone), spec.backbone.architecture + ".", path);
    model = std::make_unique<Classifier<Real>>(kernels, spec, tensors, table);
    fill_parameters();
}

template <class Real>
void AdamixCase<Real>::fill_parameters() {
    parameters.resize(table.total_count());
    for (const Parameter& parameter : table.all()) {
        const auto values = file.tensor("/weights/" + parameter.name, DType::f32, parameter.shape).to_floats();
        std::copy(values.begin(), values.end(), parameters.begin() + static_cast<std::ptrdiff_t>(parameter.offset));
    }
}

template <class Real>
std::vector<double> AdamixCase<Real>::numbers(const std::string& path) const {
    return as_doubles(file.tensor(path));
}

template <class Real>
std::vector<Real> AdamixCase<Real>::logits(const RoutePlan& plan, int passes) {
    const PackedFixture batch(file, passes);
    Arena arena;
    Arena scratch;
    Arena staging;
    ClassifierSaved<Real> saved;
    model->prepare(kernels, parameters.data(), plan);
    std::vector<Real> result(static_cast<std::size_t>(passes * samples * outputs));
    model->forward({kernels, arena, scratch, staging, parameters.data(), {}}, batch.tokens(), result.data(), saved);
    return result;
}

template <class Real>
std::vector<std::vector<Real>> AdamixCase<Real>::hidden(const RoutePlan& plan) {
    const PackedFixture batch(file, 1);
    Arena arena;
    Arena scratch;
    Arena staging;
    EncoderSaved<Real> saved;
    model->prepare(kernels, parameters.data(), plan);
    model->encoder().forward({kernels, arena, scratch, staging, parameters.data(), {}}, batch.tokens(), true, saved);
    const std::size_t count = batch.ids.size() * static_cast<std::size_t>(model->encoder().hidden_size());
    std::vector<std::vector<Real>> states;
    for (const Real* state : saved.hidden) {
        states.emplace_back(state, state + count);
    }
    return states;
}

template <class Real>
typename AdamixCase<Real>::Gradients AdamixCase<Real>::gradients(int step, bool with_consistency) {
    const int passes = with_consistency ? 2 : 1;
    const PackedFixture batch(file, passes);
    Arena arena;
    Arena scratch;
    Arena staging;
    ClassifierSaved<Real> saved;
    const Context<Real> context{kernels, arena, scratch, staging, parameters.data(), {}};
    model->prepare(kernels, parameters.data(), picks(step, passes));
    std::vector<Real> z(static_cast<std::size_t>(passes * samples * outputs));
    model->forward(context, batch.tokens(), z.data(), saved);

    const auto raw = numbers("/inputs/labels");
    const std::vector<std::int32_t> labels(raw.begin(), raw.end());
    const std::vector<Real> values(raw.begin(), raw.end());
    const std::vector<Real> weights(raw.size(), static_cast<Real>(1.0 / samples));
    const bool regression = outputs == 1;
    const Targets<Real> targets{samples, regression ? nullptr : labels.data(), regression ? values.data() : nullptr,
                                weights.data()};
    std::vector<Real> dz(z.size());
    const auto losses = compute_losses(kernels, arena, targets, passes, outputs, 1.0, z.data(), dz.data());
    GradientSum<Real> sum(kernels, table);
    sum.reset(32768.0 / samples);
    model->backward(context, saved, dz.data(), sum);

    Gradients result;
    result.values.resize(table.total_count());
    const std::vector<std::int64_t> sums = sum.sums();
    kernels.from_fixed_point(table.total_count(), sums.data(), result.values.data());
    const auto uses = sums.begin() + static_cast<std::ptrdiff_t>(table.total_count());
    result.used.assign(uses, uses + static_cast<std::ptrdiff_t>(table.all().size()));
    for (int s = 0; s < samples; ++s) {
        result.task_loss += static_cast<double>(losses.task[s]);
        result.consistency_loss += static_cast<double>(losses.consistency[s]);
    }
    return result;
}

template <class Real>
RoutePlan AdamixCase<Real>::picks(int step, int passes) const {
    const auto all = numbers("/inputs/picks");
    const auto begin = all.begin() + step * 2 * layers * kDraws;
    return RoutePlan::picked({begin, begin + passes * layers * kDraws}, layers, kDraws);
}

template <class Real>
RoutePlan AdamixCase<Real>::forced(int level) const {
    const auto masks = numbers("/inputs/level" + std::to_string(level) + "_masks");
    RoutePlan plan;
    plan.kind = RoutePlan::Kind::per_row;
    plan.expert_of_row = [masks, level, batch = samples, tokens = length](int layer, int draw, int,
                                                                          std::uint32_t sample, std::uint32_t token) {
        std::size_t at = static_cast<std::size_t>((layer * kDraws + draw) * batch) + sample;
        if (level == 0) {
            at = at * static_cast<std::size_t>(tokens) + token;
        }
        return static_cast<int>(masks.at(at));
    };
    return plan;
}

template class AdamixCase<float>;
template class AdamixCase<double>;

}  // namespace ladle::test
