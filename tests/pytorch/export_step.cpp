// Writes one training step of a tiny random model to HDF5: weights, batch, routes, the dropout masks of every site,
// and what the kernels make of them. test_dropout_masks.py repeats the step in PyTorch with these masks.
#include <cstdio>
#include <cstdlib>

#include "ladle/core/error.hpp"
#include "ladle/io/hdf5.hpp"
#include "ladle/train/objective.hpp"
#include "support/tiny_model.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

constexpr int kPasses = 2;
constexpr std::uint64_t kSeed = 0x123456789abcdefULL;
constexpr std::uint32_t kBatch = 5;
constexpr double kLimit = 4096;

const std::vector<std::int32_t> kLabels = {1, 0, 1};
const std::vector<float> kValues = {0.5F, 3.0F, 1.5F};

ModelSpec step_spec(const std::string& architecture, int outputs) {
    ModelSpec spec;
    spec.backbone = tiny_backbone(architecture);
    spec.backbone.hidden_size = 24;
    spec.backbone.num_heads = 3;
    spec.backbone.intermediate_size = 20;
    spec.backbone.hidden_dropout = 0.2;
    spec.backbone.attention_dropout = 0.1;
    spec.adapter.size = 5;
    spec.num_outputs = outputs;
    return spec;
}

/// Down projections: two experts in layer 0, the same one twice in layer 1.
RoutePlan step_routes() {
    return RoutePlan::picked({0, 0, 2, 0, 1, 0, 2, 0}, 2, 2);
}

/// Masks of one kind of site, in the layout that PyTorch has: [passes, layers, samples, ...], zero beyond a sample.
class MaskWriter {
public:
    MaskWriter(Hdf5Writer& file, const TokenRows& tokens) : file_(file), rows_(tokens.rows) {
        for (int s = 0; s < rows_.samples; ++s) {
            longest_ = std::max(longest_, length(s));
        }
    }
    int longest() const { return longest_; }

    /// [passes, layers, samples, tokens, width]; element j of token t has index t * width + j.
    void rows(const std::string& name, Site site, int layers, int tokens, int width, double probability) {
        std::vector<double> mask(static_cast<std::size_t>(kPasses * layers * rows_.samples * tokens * width));
        std::size_t at = 0;
        for_each_sample(layers, [&](int pass, int layer, int sample) {
            for (int t = 0; t < tokens; ++t) {
                for (int j = 0; j < width; ++j, ++at) {
                    if (t < length(sample)) {
                        mask[at] = factor(pass, layer, sample, site, t * width + j, probability);
                    }
                }
            }
        });
        file_.dataset("/masks/" + name, DType::f64, {kPasses, layers, rows_.samples, tokens, width}, mask.data());
    }

    /// [passes, layers, samples, heads, T, T]; index (head * length + query) * length + key.
    void attention(int layers, int heads, double probability) {
        std::vector<double> mask(static_cast<std::size_t>(kPasses * layers * rows_.samples * heads * longest_) *
                                 static_cast<std::size_t>(longest_));
        std::size_t at = 0;
        for_each_sample(layers, [&](int pass, int layer, int sample) {
            for (int head = 0; head < heads; ++head) {
                for (int query = 0; query < longest_; ++query) {
                    for (int key = 0; key < longest_; ++key, ++at) {
                        if (query < length(sample) && key < length(sample)) {
                            const int index = (head * length(sample) + query) * length(sample) + key;
                            mask[at] = factor(pass, layer, sample, Site::attention_probabilities, index, probability);
                        }
                    }
                }
            }
        });
        file_.dataset("/masks/attention_probabilities", DType::f64,
                      {kPasses, layers, rows_.samples, heads, longest_, longest_}, mask.data());
    }

private:
    int length(int sample) const { return rows_.segment_offsets[sample + 1] - rows_.segment_offsets[sample]; }

    template <class Body>
    void for_each_sample(int layers, const Body& body) const {
        for (int pass = 0; pass < kPasses; ++pass) {
            for (int layer = 0; layer < layers; ++layer) {
                for (int sample = 0; sample < rows_.samples; ++sample) {
                    body(pass, layer, sample);
                }
            }
        }
    }

    double factor(int pass, int layer, int sample, Site site, int index, double probability) const {
        Stream stream;
        stream.seed = kSeed;
        stream.batch = kBatch;
        stream.row = rows_.origins.sample[rows_.segment_offsets[sample]];
        stream.purpose = Purpose::dropout;
        stream.pass = static_cast<std::uint32_t>(pass);
        stream.layer = static_cast<std::uint32_t>(layer);
        stream.site = static_cast<std::uint32_t>(site);
        const bool dropped =
            static_cast<double>(random_word(stream, static_cast<std::uint32_t>(index))) < probability * 4294967296.0;
        return dropped ? 0.0 : 1.0 / (1.0 - probability);
    }

    Hdf5Writer& file_;
    Rows rows_;
    int longest_ = 0;
};

void write_masks(Hdf5Writer& file, const ModelSpec& spec, const TokenRows& tokens) {
    file.group("/masks");
    MaskWriter masks(file, tokens);
    const BackboneConfig& config = spec.backbone;
    const int hidden = config.hidden_size;
    const int layers = config.num_layers;
    const double p = config.hidden_dropout;
    masks.rows("embeddings", Site::embeddings, 1, masks.longest(), hidden, p);
    masks.attention(layers, config.num_heads, config.attention_dropout);
    masks.rows("attention_output", Site::attention_output, layers, masks.longest(), hidden, p);
    masks.rows("feed_forward_output", Site::feed_forward_output, layers, masks.longest(), hidden, p);
    // The head sees the first token alone.
    masks.rows("head_input", Site::head_input, 1, 1, hidden, p);
    masks.rows("head_inner", Site::head_inner, 1, 1, hidden, p);
}

template <class Real>
void write_tensors(Hdf5Writer& file, const std::string& group, const ParameterTable& table,
                   const std::vector<Real>& flat) {
    file.group(group);
    for (const Parameter& parameter : table.all()) {
        const auto begin = flat.begin() + static_cast<std::ptrdiff_t>(parameter.offset);
        const std::vector<float> values(begin, begin + static_cast<std::ptrdiff_t>(parameter.count));
        file.dataset(group + "/" + parameter.name, DType::f32, parameter.shape, values.data());
    }
}

/// The same numbers in every precision.
template <class Real>
std::vector<Real> step_parameters(std::size_t count) {
    std::vector<Real> parameters(count);
    for (std::size_t i = 0; i < count; ++i) {
        parameters[i] =
            static_cast<Real>(static_cast<float>(0.3 * random_normal(Stream{}, static_cast<std::uint32_t>(i))));
    }
    return parameters;
}

/// Runs the step and writes logits, losses and gradients under /outputs/<name>, the trainable tensors as "trainable".
template <class Real>
void write_outputs(Hdf5Writer& file, const std::string& name, const ModelSpec& spec, const Kernels<Real>& kernels) {
    NamedTensors tensors(tiny_tensors(spec.backbone), spec.backbone.architecture + ".", "tiny");
    ParameterTable table;
    Classifier<Real> model(kernels, spec, tensors, table);
    const std::vector<Real> parameters = step_parameters<Real>(table.total_count());
    const TinyBatch batch(kPasses);
    const int samples = batch.tokens.rows.samples;
    Arena arena;
    Arena scratch;
    Arena staging;
    const Context<Real> context{kernels, arena, scratch, staging, parameters.data(), {true, kSeed, kBatch}};
    ClassifierSaved<Real> saved;
    model.prepare(kernels, parameters.data(), step_routes());
    std::vector<Real> logits(static_cast<std::size_t>(kPasses * samples * spec.num_outputs));
    model.forward(context, batch.tokens, logits.data(), saved);

    const bool regression = spec.num_outputs == 1;
    const std::vector<Real> values(kValues.begin(), kValues.end());
    const std::vector<Real> weights(static_cast<std::size_t>(samples), Real(1) / static_cast<Real>(samples));
    const Targets<Real> targets{samples, regression ? nullptr : kLabels.data(), regression ? values.data() : nullptr,
                                weights.data()};
    std::vector<Real> dlogits(logits.size());
    const auto losses =
        compute_losses(kernels, arena, targets, kPasses, spec.num_outputs, 1.0, logits.data(), dlogits.data());
    GradientSum<Real> gradients(kernels, table);
    gradients.reset(kLimit);
    model.backward(context, saved, dlogits.data(), gradients);
    std::vector<Real> gradient(table.total_count());
    kernels.from_fixed_point(table.total_count(), gradients.sums().data(), gradient.data());

    const std::string group = "/outputs/" + name;
    file.group(group);
    file.dataset(group + "/logits", logits);
    file.dataset(group + "/task_loss", std::vector<Real>(losses.task, losses.task + samples));
    file.dataset(group + "/consistency_loss", std::vector<Real>(losses.consistency, losses.consistency + samples));
    write_tensors(file, group + "/trainable", table, parameters);
    write_tensors(file, group + "/gradients", table, gradient);
}

void write_inputs(Hdf5Writer& file, const ModelSpec& spec) {
    const TinyBatch batch(1);
    const Rows& rows = batch.tokens.rows;
    file.group("/inputs");
    file.dataset("/inputs/input_ids", batch.ids);
    file.dataset("/inputs/token_type_ids", batch.types);
    file.dataset("/inputs/offsets", std::vector<std::int32_t>(rows.segment_offsets, rows.segment_offsets + 4));
    file.dataset("/inputs/labels", kLabels);
    file.dataset("/inputs/values", kValues);
    const RoutePlan plan = step_routes();
    const std::vector<std::int64_t> picks(plan.picks.begin(), plan.picks.end());
    file.dataset("/inputs/picks", DType::i64, {kPasses, plan.layers, plan.draws}, picks.data());
    const BackboneConfig& config = spec.backbone;
    for (const auto& [name, value] :
         {std::pair{"hidden_size", config.hidden_size}, std::pair{"num_hidden_layers", config.num_layers},
          std::pair{"num_attention_heads", config.num_heads}, std::pair{"intermediate_size", config.intermediate_size},
          std::pair{"vocab_size", config.vocab_size}, std::pair{"max_position_embeddings", config.max_positions},
          std::pair{"type_vocab_size", config.type_vocab_size}, std::pair{"pad_token_id", config.pad_token_id},
          std::pair{"num_labels", spec.num_outputs}}) {
        file.integer("/inputs", name, value);
    }
    file.real("/inputs", "layer_norm_eps", config.layer_norm_eps);
    file.integer("/inputs", "adapter_size", spec.adapter.size);
    file.integer("/inputs", "num_experts", spec.adapter.num_experts);
}

}  // namespace

/// Usage: export_step FILE bert|roberta OUTPUTS
int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: export_step FILE bert|roberta OUTPUTS\n");
        return 2;
    }
    try {
        const ModelSpec spec = step_spec(argv[2], std::atoi(argv[3]));
        Hdf5Writer file("ladle.exported_step", 1, 0);
        write_inputs(file, spec);
        write_masks(file, spec, TinyBatch(kPasses).tokens);
        file.group("/backbone");
        for (const auto& [name, tensor] : tiny_tensors(spec.backbone)) {
            file.tensor("/backbone/" + name, tensor);
        }
        file.group("/outputs");
        write_outputs(file, "reference", spec, *make_reference_kernels<double>());
        write_outputs(file, "cpu", spec, *make_cpu_kernels("auto", Precision::fp32));
        file.save(argv[1]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
