// Frozen weights in a store: as much as was planned, and a second model over the same memory reads none of it again.
#include <boost/test/unit_test.hpp>

#include "support/tiny_model.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

/// Memory that remembers its arrays, to hand the same ones to a second model.
class Recording final : public WeightStore {
public:
    explicit Recording(const Recording* first) : first_(first) {}
    std::shared_ptr<void> take(std::size_t bytes) override {
        arrays_.push_back(first_ != nullptr ? first_->arrays_.at(arrays_.size()) : own_.take(bytes));
        taken_ += stored_bytes(bytes);
        return arrays_.back();
    }
    bool writes() const override { return first_ == nullptr; }
    void publish() override {}
    std::size_t taken() const { return taken_; }

private:
    const Recording* first_;
    PrivateWeights own_;
    std::vector<std::shared_ptr<void>> arrays_;
    std::size_t taken_ = 0;
};

struct Tiny {
    Tiny() : kernels(make_cpu_kernels("auto", Precision::fp32)) { spec.backbone = tiny_backbone("bert"); }

    /// Counts the numbers that are read of tensors with two dimensions.
    std::unique_ptr<Classifier<float>> build(WeightStore& store) {
        StoredTensorMap tensors;
        for (auto& [name, tensor] : tiny_tensors(spec.backbone)) {
            const bool is_matrix = tensor.shape.size() == 2;
            StoredTensor stored = stored_tensor(tensor);
            tensors[name] = {stored.dtype, stored.shape,
                             [this, is_matrix, read = stored.read](std::size_t first, std::size_t count) {
                                 read_of_matrices += is_matrix ? count : 0;
                                 return read(first, count);
                             }};
        }
        NamedTensors named(std::move(tensors), "bert.", "tiny");
        named.keep_in(store);
        table = ParameterTable();
        auto model = std::make_unique<Classifier<float>>(*kernels, spec, named, table);
        frozen_values = named.taken_values();
        return model;
    }

    std::vector<float> logits(Classifier<float>& model) {
        std::vector<float> parameters(table.total_count());
        table.initialize(1, parameters.data());
        model.prepare(*kernels, parameters.data(), RoutePlan::soup());
        const TinyBatch batch(1);
        Arena arena;
        Arena scratch;
        Arena staging;
        ClassifierSaved<float> saved;
        std::vector<float> result(6);
        model.forward({*kernels, arena, scratch, staging, parameters.data(), {}}, batch.tokens, result.data(), saved);
        return result;
    }

    std::unique_ptr<Kernels<float>> kernels;
    ModelSpec spec;
    ParameterTable table;
    std::size_t read_of_matrices = 0;
    std::int64_t frozen_values = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_model_takes_what_was_planned_and_the_plan_reads_no_matrix) {
    Tiny tiny;
    PlannedWeights planned;
    tiny.build(planned);
    BOOST_TEST(tiny.read_of_matrices == 0U);
    Recording store(nullptr);
    tiny.build(store);
    BOOST_TEST(store.taken() == planned.bytes());
    // All matrices and tables, most of them for both directions; only norms and biases stay outside.
    BOOST_TEST(store.taken() > sizeof(float) * tiny.read_of_matrices);
    BOOST_TEST(tiny.read_of_matrices > static_cast<std::size_t>(tiny.frozen_values) / 2);
}

BOOST_AUTO_TEST_CASE(a_rank_that_does_not_write_computes_with_the_first_ones_weights) {
    Tiny tiny;
    Recording store(nullptr);
    const auto first = tiny.build(store);
    const std::vector<float> expected = tiny.logits(*first);
    tiny.read_of_matrices = 0;
    Recording same(&store);
    const auto second = tiny.build(same);
    BOOST_TEST(tiny.read_of_matrices == 0U);
    BOOST_TEST(tiny.logits(*second) == expected, boost::test_tools::per_element());
}
