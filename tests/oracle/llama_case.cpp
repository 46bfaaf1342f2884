// Reading a golden file of a plain decoder and running the model on it.
#include "llama_case.hpp"

#include <cstring>

#include "ladle/core/json_file.hpp"

namespace ladle::test {
namespace {

bool is_plain_llama(const std::string& path) {
    try {
        return fixture_kind(path) == "moa" &&
               Hdf5Reader(path, Hdf5Origin::foreign).text("/", "system") == "llama_plain";
    } catch (const std::exception&) {
        return false;  // the AdaMix suite reports what cannot be read
    }
}

std::vector<double> read_numbers(const Hdf5Reader& file, const std::string& path) {
    const Tensor tensor = file.tensor(path);
    std::vector<double> values(tensor.elements());
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (tensor.dtype == DType::i32) {
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

DecoderConfig read_config(const Hdf5Reader& file) {
    const auto json = parse_json(file.text("/", "config"), file.path());
    DecoderConfig config;
    config.dim = json.at("dim");
    config.layers = json.at("n_layers");
    config.heads = json.at("n_heads");
    config.kv_heads = json.at("n_kv_heads");
    config.head_dim = config.dim / config.heads;
    config.ffn = json.at("ffn_hidden");
    config.vocab = json.at("vocab_size");
    config.norm_eps = json.at("norm_eps");
    config.rope_theta = json.at("rope_theta");
    config.max_positions = static_cast<int>(file.shape("/trace/freqs_cos").at(0));
    if (json.at("use_scaled_rope").get<bool>()) {
        config.rope_scaling.emplace();
    }
    return config;
}

}  // namespace

std::vector<std::string> llama_files() {
    std::vector<std::string> files;
    for (const std::string& path : fixture_files("moa", ".h5")) {
        if (is_plain_llama(path)) {
            files.push_back(path);
        }
    }
    return files;
}

PackedTokens::PackedTokens(const Hdf5Reader& file, int ignored_label)
    : length(static_cast<std::size_t>(file.shape("/inputs/tokens").at(1))), segment_offsets({0}) {
    const auto all_ids = read_numbers(file, "/inputs/tokens");
    const auto all_labels = read_numbers(file, "/inputs/labels");
    for (std::size_t s = 0; s * length < all_ids.size(); ++s) {
        std::size_t real = length;
        while (real > 0 && all_ids[s * length + real - 1] == 0) {
            --real;
        }
        for (std::size_t t = 0; t < real; ++t) {
            const int label = t + 1 < length ? static_cast<int>(all_labels[s * length + t + 1]) : ignored_label;
            if (label != ignored_label) {
                targets.push_back(static_cast<std::int32_t>(ids.size()));
            }
            labels.push_back(label);
            ids.push_back(static_cast<std::int32_t>(all_ids[s * length + t]));
            sample.push_back(static_cast<std::uint32_t>(s));
            token.push_back(static_cast<std::uint32_t>(t));
            pass.push_back(0);
        }
        segment_offsets.push_back(rows());
        leaf_offsets.push_back(static_cast<int>(s));
    }
    leaf_offsets.push_back(static_cast<int>(segment_offsets.size()) - 1);
}

TokenRows PackedTokens::tokens() const {
    TokenRows result;
    result.rows.count = rows();
    result.rows.samples = static_cast<int>(segment_offsets.size()) - 1;
    result.rows.leaves = static_cast<int>(leaf_offsets.size()) - 1;
    result.rows.segment_offsets = segment_offsets.data();
    result.rows.leaf_offsets = leaf_offsets.data();
    result.rows.origins = {sample.data(), token.data(), pass.data()};
    result.input_ids = ids.data();
    return result;
}

std::vector<double> PackedTokens::packed(const std::vector<double>& padded, std::size_t width) const {
    std::vector<double> result;
    for (std::size_t s = 0; s + 1 < segment_offsets.size(); ++s) {
        const auto begin = padded.begin() + static_cast<std::ptrdiff_t>(s * length * width);
        const auto count = static_cast<std::size_t>(segment_offsets[s + 1] - segment_offsets[s]) * width;
        result.insert(result.end(), begin, begin + static_cast<std::ptrdiff_t>(count));
    }
    return result;
}

template <class Real>
LlamaCase<Real>::LlamaCase(const std::string& path, const Kernels<Real>& kernels_, Precision precision)
    : file(path, Hdf5Origin::foreign),
      kernels(kernels_),
      batch(file, static_cast<int>(file.integer("/", "ignore_index"))) {
    TensorMap weights;
    for (const std::string& name : file.members("/weights")) {
        weights[name] = file.tensor("/weights/" + name);
    }
    NamedTensors tensors(std::move(weights), "llama.", path);
    model = std::make_unique<Decoder<Real>>(kernels, read_config(file), precision, tensors);
}

template <class Real>
std::vector<double> LlamaCase<Real>::numbers(const std::string& path) const {
    return read_numbers(file, path);
}

template <class Real>
typename LlamaCase<Real>::Pass LlamaCase<Real>::run() {
    Arena arena;
    Arena scratch;
    Arena staging;
    const Context<Real> context{kernels, arena, scratch, staging, nullptr, {}};
    DecoderSaved<Real> saved;
    const Real* states = model->forward(context, batch.tokens(), saved);
    const auto rows = static_cast<std::size_t>(batch.rows());
    const auto dim = static_cast<std::size_t>(model->config().dim);
    Pass result;
    for (const Real* hidden : saved.hidden) {
        result.hidden.emplace_back(hidden, hidden + rows * dim);
    }
    std::vector<std::int32_t> every_row(rows);
    for (std::size_t r = 0; r < rows; ++r) {
        every_row[r] = static_cast<std::int32_t>(r);
    }
    result.logits.resize(rows * static_cast<std::size_t>(model->config().vocab));
    model->logits(context, states, batch.rows(), every_row.data(), result.logits.data());

    std::vector<Real> losses(rows);
    std::vector<Real> dstates(rows * dim);
    const auto count = static_cast<int>(batch.targets.size());
    model->losses(context, batch.rows(), states,
                  {count, batch.targets.data(), batch.labels.data(), static_cast<Real>(1.0 / count)}, losses.data(),
                  dstates.data());
    for (const Real loss : losses) {
        result.loss += static_cast<double>(loss);
    }
    const ParameterTable nothing_trains;
    GradientSum<Real> gradients(kernels, nothing_trains);
    result.dembedding.resize(rows * dim);
    model->backward(context, saved, dstates.data(), result.dembedding.data(), gradients);
    return result;
}

template <class Real>
typename LlamaCase<Real>::Golden LlamaCase<Real>::golden() const {
    const auto dim = static_cast<std::size_t>(model->config().dim);
    Golden result;
    for (int layer = 0; layer < model->config().layers; ++layer) {
        const std::string name = "/trace/layer" + std::to_string(layer) + "/block_output";
        result.blocks.push_back(batch.packed(numbers(name), dim));
    }
    result.logits = batch.packed(numbers("/outputs/logits"), static_cast<std::size_t>(model->config().vocab));
    result.loss = numbers("/outputs/loss").at(0);
    result.dembedding = batch.packed(numbers("/trace/grad_embedding_output"), dim);
    return result;
}

template <class Real>
std::map<std::string, double> training_differences(LlamaCase<Real>& model) {
    const auto expected = model.golden();
    const auto found = model.run();
    std::map<std::string, double> result;
    for (std::size_t layer = 0; layer < expected.blocks.size(); ++layer) {
        result["block " + std::to_string(layer)] =
            largest_difference(expected.blocks[layer], found.hidden.at(layer + 1)) / kLogitTolerance;
    }
    result["logits"] = largest_difference(expected.logits, found.logits) / kLogitTolerance;
    result["loss"] = std::abs(expected.loss - found.loss) / kLossTolerance;
    double largest = 0;
    for (const double gradient : expected.dembedding) {
        largest = std::max(largest, std::abs(gradient));
    }
    result["gradient of the embedding output"] =
        largest_difference(expected.dembedding, found.dembedding) / (kGradientTolerance * largest);
    return result;
}

template std::map<std::string, double> training_differences(LlamaCase<float>&);
template std::map<std::string, double> training_differences(LlamaCase<double>&);
template class LlamaCase<float>;
template class LlamaCase<double>;

}  // namespace ladle::test
