// Reading a golden file of a decoder and running the model on it.
#include "llama_case.hpp"

#include <cstring>

#include "golden_case.hpp"
#include "ladle/core/json_file.hpp"

namespace ladle::test {
namespace {

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

/// Positions of the file's rotary tables, where it has them, else those that are used.
int longest_sequence(const Hdf5Reader& file) {
    if (file.has("/trace/freqs_cos")) {
        return static_cast<int>(file.shape("/trace/freqs_cos").at(0));
    }
    const auto starts = read_numbers(file, "/generate/step_start");
    const auto lengths = read_numbers(file, "/generate/step_len");
    return std::max(static_cast<int>(file.shape("/inputs/tokens").at(1)),
                    static_cast<int>(starts.back() + lengths.back()));
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
    config.max_positions = longest_sequence(file);
    if (json.at("use_scaled_rope").get<bool>()) {
        config.rope_scaling.emplace();
    }
    return config;
}

BlockRouter read_router(const std::string& folder) {
    const std::map<std::string, BlockRouter> routers = {{"LLaMA3_soft_moa", BlockRouter::token},
                                                        {"LLaMA3_sparse_moa", BlockRouter::threshold},
                                                        {"LLaMA3_soft_moa_instance", BlockRouter::instance},
                                                        {"LLaMA3_UniPEFT", BlockRouter::gates},
                                                        {"LLaMA3_soft_moe", BlockRouter::none},
                                                        {"LLaMA3_sparse_moe", BlockRouter::none}};
    return routers.at(folder);
}

/// By the published names of arguments; what a file leaves out is off.
MoaOptions read_experts(const Hdf5Reader& file) {
    const auto json = parse_json(file.text("/", "config"), file.path());
    const std::string folder = file.text("/", "reference_folder");
    const auto layers = [&](const char* name) { return LayerRanges::parse(json.value(name, "0-0")); };
    MoaOptions options;
    options.router = read_router(folder);
    options.router_expansion = json.value("swi_x", 0);
    options.max_threshold = json.value("max_threshold", 0.5);
    options.constant_threshold = json.value("const_threshold", false);
    if (folder == "LLaMA3_sparse_moe") {
        options.rule = json.value("adamole", false) ? SiteRule::adaptive : SiteRule::top_k;
    }
    options.num_experts = json.value("expert_num", 1);
    options.top_k = json.value("top_k", 1);
    options.share_lora_a = json.value("hydra_moe", false);
    options.share_down = json.value("p_adapter_hydra", false);
    options.lora_layers = layers("lora_layers");
    if (json.contains("lora_targets")) {
        options.lora_targets = parse_decoder_targets(json.at("lora_targets"));
    }
    options.lora_rank = json.value("lora_rank", 8);
    options.lora_alpha = json.value("lora_alpha", 8.0);
    options.adapter_layers = layers("p_adapter_layers");
    options.adapter_size = json.value("p_adapter_size", 16);
    options.prompt_layers = layers("prompt_layers");
    options.prompt_length = json.value("prompt_len", 10);
    return options;
}

bool has_experts(const MoaOptions& options, int layers) {
    bool any = false;
    for (int layer = 0; layer < layers; ++layer) {
        any = any || options.has_experts(layer);
    }
    return any;
}

/// Where the published programs' means and counts contain padding.
bool computes_padding(const MoaOptions& options) {
    return options.sees_whole_samples() || options.has_balance_loss();
}

/// Tensors that are no part of the pretrained model, by the rule of the published programs.
bool is_trained(const std::string& name) {
    return name.find("lora") != std::string::npos || name.find("prompt") != std::string::npos ||
           name.find("adapter") != std::string::npos;
}

/// Keeps small arrays that a call left for backward, in double.
template <class Real>
std::vector<double> copied(const Real* values, int rows, int width) {
    return values == nullptr ? std::vector<double>{} : std::vector<double>(values, values + element_count(rows, width));
}

/// What the files call a projection.
std::string site_name(int projection) {
    const std::string name = decoder_projection_names().at(static_cast<std::size_t>(projection));
    return "lora_" + (name.rfind("FFN_", 0) == 0 ? name.substr(4) : name);
}

/// Weights [rows, experts] from the chosen experts [rows, k] and their weights.
std::vector<double> spread_choice(const std::vector<double>& index, const std::vector<double>& weights, int top_k,
                                  int experts) {
    std::vector<double> result(index.size() / static_cast<std::size_t>(top_k) * static_cast<std::size_t>(experts));
    for (std::size_t i = 0; i < index.size(); ++i) {
        const std::size_t row = i / static_cast<std::size_t>(top_k);
        result[row * static_cast<std::size_t>(experts) + static_cast<std::size_t>(index[i])] = weights[i];
    }
    return result;
}

std::vector<double> scaled_sigmoids(std::vector<double> values, double scale) {
    for (double& value : values) {
        value = scale / (1 + std::exp(-value));
    }
    return values;
}

}  // namespace

std::vector<std::string> moa_files() {
    return golden_files("moa", {"moa"});
}

PackedTokens::PackedTokens(const Hdf5Reader& file, int ignored_label, bool with_padding)
    : length(static_cast<std::size_t>(file.shape("/inputs/tokens").at(1))), segment_offsets({0}) {
    const auto all_ids = read_numbers(file, "/inputs/tokens");
    const auto all_labels = read_numbers(file, "/inputs/labels");
    for (std::size_t s = 0; s * length < all_ids.size(); ++s) {
        std::size_t real = length;
        while (!with_padding && real > 0 && all_ids[s * length + real - 1] == 0) {
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
      options(read_experts(file)),
      batch(file, static_cast<int>(file.integer("/", "ignore_index")), computes_padding(options)) {
    TensorMap weights;
    for (const std::string& name : file.members("/weights")) {
        if (!is_trained(name)) {
            weights[name] = file.tensor("/weights/" + name);
        }
    }
    const DecoderConfig config = read_config(file);
    NamedTensors tensors(std::move(weights), "llama.", path);
    model = has_experts(options, config.layers)
                ? std::make_unique<Decoder<Real>>(kernels, config, precision, tensors, options, table)
                : std::make_unique<Decoder<Real>>(kernels, config, precision, tensors);
    read_parameters();
}

template <class Real>
void LlamaCase<Real>::read_parameters() {
    for (const Parameter& parameter : table.all()) {
        const std::string path = "/weights/llama." + parameter.name;
        if (file.shape(path) != parameter.shape) {
            throw std::runtime_error(path + " is " + shape_text(file.shape(path)));
        }
        for (const double value : numbers(path)) {
            parameters.push_back(static_cast<Real>(value));
        }
    }
    std::size_t in_file = 0;
    for (const std::string& name : file.members("/weights")) {
        in_file += is_trained(name) ? 1 : 0;
    }
    if (in_file != table.all().size()) {
        throw std::runtime_error(file.path() + " has trained tensors that the model lacks");
    }
    model->prepare(kernels, parameters.data());
}

template <class Real>
double LlamaCase<Real>::balance_coefficient() const {
    return parse_json(file.text("/", "config"), file.path()).value("lb_loss_coeff", 0.0);
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
    const Context<Real> context{kernels, arena, scratch, staging, parameters.data(), {}};
    DecoderSaved<Real> saved;
    const Real* states = model->forward(context, batch.tokens(), saved);
    const auto rows = static_cast<std::size_t>(batch.rows());
    const auto dim = static_cast<std::size_t>(model->config().dim);
    Pass result;
    for (const Real* hidden : saved.hidden) {
        result.hidden.emplace_back(hidden, hidden + rows * dim);
    }
    result.routing = routing(saved);
    std::vector<std::int32_t> every_row(rows);
    for (std::size_t r = 0; r < rows; ++r) {
        every_row[r] = static_cast<std::int32_t>(r);
    }
    result.logits.resize(rows * static_cast<std::size_t>(model->config().vocab));
    model->logits(context, states, batch.rows(), every_row.data(), result.logits.data());

    std::vector<Real> losses(rows);
    std::vector<Real> dstates(rows * dim);
    const auto count = static_cast<int>(batch.targets.size());
    const std::vector<Real> weights(rows, static_cast<Real>(1.0 / count));
    model->losses(context, batch.rows(), states, {count, batch.targets.data(), batch.labels.data(), weights.data()},
                  losses.data(), dstates.data());
    for (const Real loss : losses) {
        result.loss += static_cast<double>(loss);
    }
    BalanceSum<Real> balance(kernels, model->balance_layout());
    model->forward_only(context, batch.tokens(), &balance);
    const auto sums = balance.sums();
    result.loss += balance_coefficient() * balance_loss(balance.layout(), sums, batch.rows());
    const auto found = balance_gradients(balance.layout(), sums, batch.rows(), balance_coefficient());
    const std::vector<Real> dvalues(found.begin(), found.end());

    GradientSum<Real> gradients(kernels, table);
    gradients.reset(32768.0 / batch.tokens().rows.leaves);
    result.dembedding.resize(rows * dim);
    model->backward(context, saved, dstates.data(), result.dembedding.data(), gradients, dvalues.data());
    result.gradients = gradients.sums();
    return result;
}

/// What routers decided, by the names of traces.
template <class Real>
std::map<std::string, std::vector<double>> LlamaCase<Real>::routing(const DecoderSaved<Real>& saved) const {
    std::map<std::string, std::vector<double>> result;
    for (std::size_t layer = 0; layer < saved.blocks.size(); ++layer) {
        const BlockExpertsSaved<Real>& experts = saved.blocks[layer].experts;
        const std::string prefix = "layer" + std::to_string(layer) + "/";
        const int types = type_columns(options, static_cast<int>(layer)).count;
        result[prefix + "router_logits"] = copied(experts.types.logits, experts.types.rows.count, types);
        result[prefix + "thresholds"] = copied(experts.types.thresholds, experts.types.rows.count, 1);
        for (int p = 0; p < kDecoderProjections; ++p) {
            const SiteRouterSaved<Real>& router = experts.projections[static_cast<std::size_t>(p)].router;
            const std::string site = prefix + site_name(p);
            result[site + "_router_logits"] = copied(router.logits, batch.rows(), options.num_experts);
            result[site + "_thresholds"] = copied(router.thresholds, batch.rows(), 1);
            result[site + "_route_weight"] = copied(router.own, batch.rows(), options.num_experts);
        }
    }
    return result;
}

/// The same from the file, where it has them.
template <class Real>
std::map<std::string, std::vector<double>> LlamaCase<Real>::golden_routing() const {
    std::map<std::string, std::vector<double>> result;
    const auto read = [&](const std::string& name) {
        const bool per_sample = file.shape("/trace/" + name).at(1) == 1 && options.sees_whole_samples();
        const auto width = static_cast<std::size_t>(file.shape("/trace/" + name).back());
        return per_sample ? numbers("/trace/" + name) : batch.packed(numbers("/trace/" + name), width);
    };
    for (int layer = 0; layer < model->config().layers; ++layer) {
        const std::string prefix = "layer" + std::to_string(layer) + "/";
        for (const std::string& name : file.members("/trace/" + prefix.substr(0, prefix.size() - 1))) {
            const std::string site = prefix + name.substr(0, name.find('_', 5));
            if (name == "threshold_logits") {
                result[prefix + "thresholds"] = scaled_sigmoids(read(prefix + name), options.max_threshold);
            } else if (name.ends_with("_threshold_logits")) {
                result[site + "_thresholds"] = scaled_sigmoids(read(prefix + name), 1.0 / options.num_experts);
            } else if (name.ends_with("router_logits") || name.ends_with("_route_weight")) {
                result[prefix + name] = read(prefix + name);
            } else if (name.ends_with("_topk_index")) {
                result[site + "_route_weight"] = spread_choice(read(prefix + name), read(site + "_topk_weights"),
                                                               options.top_k, options.num_experts);
            }
        }
    }
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
    result.routing = golden_routing();
    result.logits = batch.packed(numbers("/outputs/logits"), static_cast<std::size_t>(model->config().vocab));
    result.loss = numbers("/outputs/loss").at(0);
    if (file.has("/trace/grad_embedding_output")) {
        result.dembedding = batch.packed(numbers("/trace/grad_embedding_output"), dim);
    }
    return result;
}

namespace {

double largest_size(const std::vector<double>& values) {
    double largest = 0;
    for (const double value : values) {
        largest = std::max(largest, std::abs(value));
    }
    return largest;
}

/// One tensor's difference in units of the tolerance; infinite if only one of file and model leaves it without one.
template <class Real>
double gradient_difference(const LlamaCase<Real>& model, ParameterId id, const std::vector<std::int64_t>& sums) {
    const Parameter& parameter = model.table.at(id);
    const std::string path = "/grads/llama." + parameter.name;
    const bool used = sums[model.table.total_count() + id] > 0;
    if (used != model.file.has(path)) {
        return INFINITY;
    }
    std::vector<double> found;
    for (std::size_t i = 0; i < parameter.count; ++i) {
        found.push_back(static_cast<double>(sums[parameter.offset + i]) / kFixedPointOne);
    }
    const std::vector<double> expected = used ? model.numbers(path) : std::vector<double>(parameter.count);
    return largest_difference(expected, found) / (kGradientTolerance * std::max(largest_size(expected), 1e-9));
}

}  // namespace

template <class Real>
std::map<std::string, double> training_differences(LlamaCase<Real>& model) {
    const auto expected = model.golden();
    const auto found = model.run();
    std::map<std::string, double> result;
    for (std::size_t layer = 0; layer < expected.blocks.size(); ++layer) {
        result["block " + std::to_string(layer)] =
            largest_difference(expected.blocks[layer], found.hidden.at(layer + 1)) / kBlockTolerance;
    }
    for (const auto& [name, values] : expected.routing) {
        result[name] = largest_difference(values, found.routing.at(name)) / kLogitTolerance;
    }
    result["logits"] = largest_difference(expected.logits, found.logits) / kLogitTolerance;
    result["loss"] = std::abs(expected.loss - found.loss) / kLossTolerance;
    if (!expected.dembedding.empty()) {
        result["gradient of the embedding output"] = largest_difference(expected.dembedding, found.dembedding) /
                                                     (kGradientTolerance * largest_size(expected.dembedding));
    }
    for (ParameterId id = 0; id < model.table.all().size(); ++id) {
        result["gradient of " + model.table.at(id).name] = gradient_difference(model, id, found.gradients);
    }
    return result;
}

template std::map<std::string, double> training_differences(LlamaCase<float>&);
template std::map<std::string, double> training_differences(LlamaCase<double>&);
template class LlamaCase<float>;
template class LlamaCase<double>;

}  // namespace ladle::test
