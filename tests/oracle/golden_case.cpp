// Reading a golden file and running the model on it.
#include "golden_case.hpp"

#include <boost/test/unit_test.hpp>
#include <cstring>
#include <map>

#include "ladle/core/error.hpp"
#include "support/device_kernels.hpp"

namespace ladle::test {

std::vector<std::string> golden_files(const std::string& system, const std::vector<std::string>& kinds) {
    std::vector<std::string> files;
    for (const std::string& path : fixture_files(system, ".h5")) {
        std::string kind = "unknown";
        try {
            kind = fixture_kind(path);
        } catch (const std::exception&) {
            // A file that cannot be read counts as one of ours, so that its own test case fails.
        }
        if (kind == "unknown" || std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) {
            files.push_back(path);
        }
    }
    return files;
}

std::vector<double> as_doubles(const Tensor& tensor) {
    std::vector<double> values(tensor.elements());
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (tensor.dtype == DType::i64) {
            std::int64_t value = 0;
            std::memcpy(&value, tensor.bytes.data() + 8 * i, 8);
            values[i] = static_cast<double>(value);
        } else if (tensor.dtype == DType::f64) {
            std::memcpy(&values[i], tensor.bytes.data() + 8 * i, 8);
        } else if (tensor.dtype == DType::i32) {
            std::int32_t value = 0;
            std::memcpy(&value, tensor.bytes.data() + 4 * i, 4);
            values[i] = value;
        } else {
            float value = 0;
            std::memcpy(&value, tensor.bytes.data() + 4 * i, 4);
            values[i] = static_cast<double>(value);
        }
    }
    return values;
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
std::unique_ptr<Classifier<Real>> GoldenCase<Real>::make_model(const ModelSpec& spec,
                                                               ParameterTable& parameter_table) const {
    TensorMap backbone;
    for (const std::string& name : file.members("/weights")) {
        const bool adapter =
            name.find("ExpertSoup") != std::string::npos || name.find(".experts_") != std::string::npos;
        if (!adapter) {
            backbone[name] = file.tensor("/weights/" + name);
        }
    }
    NamedTensors tensors(std::move(backbone), spec.backbone.architecture + ".", file.path());
    return std::make_unique<Classifier<Real>>(kernels, spec, tensors, parameter_table);
}

template <class Real>
void GoldenCase<Real>::build(const ModelSpec& spec,
                             const std::function<std::string(const std::string&)>& name_in_file) {
    layers = spec.backbone.num_layers;
    outputs = spec.num_outputs;
    const Shape inputs = file.shape("/inputs/input_ids");
    samples = static_cast<int>(inputs[0]);
    length = static_cast<int>(inputs[1]);
    model = make_model(spec, table);
    parameters.resize(table.total_count());
    for (const Parameter& parameter : table.all()) {
        const auto values =
            file.tensor("/weights/" + name_in_file(parameter.name), DType::f32, parameter.shape).to_floats();
        std::copy(values.begin(), values.end(), parameters.begin() + static_cast<std::ptrdiff_t>(parameter.offset));
    }
}

template <class Real>
std::vector<Real> GoldenCase<Real>::forward(Classifier<Real>& classifier, const std::vector<Real>& values,
                                            const RoutePlan& plan, int passes) {
    const PackedFixture batch(file, passes);
    Arena arena;
    Arena scratch;
    Arena staging;
    ClassifierSaved<Real> saved;
    classifier.prepare(kernels, values.data(), plan);
    std::vector<Real> result(static_cast<std::size_t>(passes * samples * outputs));
    classifier.forward({kernels, arena, scratch, staging, values.data(), {}}, batch.tokens(), result.data(), saved);
    return result;
}

template <class Real>
std::vector<Real> GoldenCase<Real>::logits(const RoutePlan& plan, int passes) {
    return forward(*model, parameters, plan, passes);
}

template <class Real>
std::vector<Real> GoldenCase<Real>::logits_of(const ModelSpec& spec, const TensorList& tensors) {
    std::map<std::string, std::string> merged_names;
    for (int layer = 0; layer < layers; ++layer) {
        for (const Bank& bank : model_banks(spec, layer)) {
            merged_names[bank.tensor_name(0, "weight")] = merged_bank(bank).tensor_name(0, "weight");
        }
    }
    const TensorMap found(tensors.begin(), tensors.end());
    ParameterTable other;
    const auto merged = make_model(spec, other);
    std::vector<Real> values;
    for (const Parameter& parameter : other.all()) {
        const auto name = merged_names.find(parameter.name);
        const auto tensor = found.at(name == merged_names.end() ? parameter.name : name->second).to_floats();
        values.insert(values.end(), tensor.begin(), tensor.end());
    }
    return forward(*merged, values, RoutePlan::soup(), 1);
}

template <class Real>
std::vector<std::vector<Real>> GoldenCase<Real>::hidden(const RoutePlan& plan) {
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
typename GoldenCase<Real>::Gradients GoldenCase<Real>::gradients(const RoutePlan& plan, int passes) {
    const PackedFixture batch(file, passes);
    Arena arena;
    Arena scratch;
    Arena staging;
    ClassifierSaved<Real> saved;
    const Context<Real> context{kernels, arena, scratch, staging, parameters.data(), {}};
    model->prepare(kernels, parameters.data(), plan);
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

std::unique_ptr<Kernels<float>> bf16_kernels() {
    if (auto kernels = device_kernels_under_test()) {
        return kernels;
    }
    try {
        return make_cpu_kernels("auto", Precision::bf16);
    } catch (const DeviceError& error) {
        BOOST_TEST_MESSAGE("SKIPPED: " << error.what());
        return nullptr;
    }
}

template class GoldenCase<float>;
template class GoldenCase<double>;

}  // namespace ladle::test
