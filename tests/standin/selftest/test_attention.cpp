// cuDNN stand-in: attention forward against double loops, backward against finite differences, refusals.
#include <cuda_bf16.h>
#include <cudnn.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <map>
#include <random>

#include "support.hpp"

namespace {

using Bf16 = __nv_bfloat16;

constexpr std::int64_t kBatch = 3;
constexpr std::int64_t kHeads = 4;
constexpr std::int64_t kKvHeads = 2;
constexpr std::int64_t kTokens = 6;
constexpr std::int64_t kSize = 16;
constexpr std::int32_t kLengths[kBatch] = {6, 1, 4};

void ok(cudnnStatus_t code) {
    if (code != CUDNN_STATUS_SUCCESS) {
        char text[256];
        cudnnGetLastErrorString(text, sizeof text);
        throw std::runtime_error(text);
    }
}

/// Owns descriptors while a plan is built.
class Builder {
public:
    ~Builder() {
        for (const auto descriptor : made_) {
            cudnnBackendDestroyDescriptor(descriptor);
        }
    }
    cudnnBackendDescriptor_t make(cudnnBackendDescriptorType_t type) {
        cudnnBackendDescriptor_t descriptor = nullptr;
        ok(cudnnBackendCreateDescriptor(type, &descriptor));
        made_.push_back(descriptor);
        return descriptor;
    }
    template <class T>
    void set(cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
             const std::vector<T>& values) {
        ok(cudnnBackendSetAttribute(to, name, type, static_cast<std::int64_t>(values.size()), values.data()));
    }
    void link(cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t descriptor) {
        ok(cudnnBackendSetAttribute(to, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &descriptor));
    }
    cudnnBackendDescriptor_t tensor(std::int64_t id, cudnnDataType_t type, const std::vector<std::int64_t>& shape,
                                    const std::vector<std::int64_t>& strides, bool by_value = false) {
        const auto made = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
        set<std::int32_t>(made, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, {type});
        set<std::int64_t>(made, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, shape);
        set<std::int64_t>(made, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides);
        set<std::int64_t>(made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, {id});
        set<std::int64_t>(made, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, {by_value ? 4 : 16});
        if (by_value) {
            set<char>(made, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, {1});
        }
        ok(cudnnBackendFinalize(made));
        return made;
    }
    /// [batch, heads, tokens, size] stored as [batch, tokens, heads, size].
    cudnnBackendDescriptor_t rows(std::int64_t id, std::int64_t heads, std::int64_t size = kSize) {
        return tensor(id, CUDNN_DATA_BFLOAT16, {kBatch, heads, kTokens, size},
                      {kTokens * heads * size, size, heads * size, 1});
    }
    cudnnBackendDescriptor_t plan(cudnnBackendDescriptor_t operation) {
        ok(cudnnBackendFinalize(operation));
        const auto graph = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
        link(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
        ok(cudnnBackendFinalize(graph));
        const auto heuristic = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
        link(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
        ok(cudnnBackendFinalize(heuristic));
        auto configuration = make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
        std::int64_t found = 0;
        ok(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &found,
                                    &configuration));
        const auto made = make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
        link(made, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
        ok(cudnnBackendFinalize(made));
        return made;
    }
    cudnnBackendDescriptor_t pack(const std::map<std::int64_t, void*>& pointers, void* workspace) {
        std::vector<std::int64_t> ids;
        std::vector<void*> values;
        for (const auto& [id, pointer] : pointers) {
            ids.push_back(id);
            values.push_back(pointer);
        }
        const auto made = make(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
        set(made, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids);
        set(made, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, values);
        set<void*>(made, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, {workspace});
        ok(cudnnBackendFinalize(made));
        return made;
    }

private:
    std::vector<cudnnBackendDescriptor_t> made_;
};

cudnnBackendDescriptor_t forward_operation(Builder& b, std::int64_t size = kSize) {
    const auto operation = b.make(CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, b.rows(1, kHeads, size));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, b.rows(2, kKvHeads, size));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, b.rows(3, kKvHeads, size));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, b.rows(4, kHeads, size));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC,
           b.tensor(5, CUDNN_DATA_FLOAT, {kBatch, kHeads, kTokens, 1}, {kHeads * kTokens, kTokens, 1, 1}));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC,
           b.tensor(6, CUDNN_DATA_FLOAT, {1, 1, 1, 1}, {1, 1, 1, 1}, true));
    const auto lengths = b.tensor(7, CUDNN_DATA_INT32, {kBatch, 1, 1, 1}, {1, 1, 1, 1});
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_QDESC, lengths);
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_KVDESC, lengths);
    return operation;
}

cudnnBackendDescriptor_t backward_operation(Builder& b) {
    const auto operation = b.make(CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR);
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC, b.rows(1, kHeads));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC, b.rows(2, kKvHeads));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC, b.rows(3, kKvHeads));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC, b.rows(4, kHeads));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC,
           b.tensor(5, CUDNN_DATA_FLOAT, {kBatch, kHeads, kTokens, 1}, {kHeads * kTokens, kTokens, 1, 1}));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC,
           b.tensor(6, CUDNN_DATA_FLOAT, {1, 1, 1, 1}, {1, 1, 1, 1}, true));
    const auto lengths = b.tensor(7, CUDNN_DATA_INT32, {kBatch, 1, 1, 1}, {1, 1, 1, 1});
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_QDESC, lengths);
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_KVDESC, lengths);
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC, b.rows(8, kHeads));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC, b.rows(9, kHeads));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC, b.rows(10, kKvHeads));
    b.link(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC, b.rows(11, kKvHeads));
    return operation;
}

std::vector<Bf16> random_rows(std::int64_t heads, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    std::vector<Bf16> values(static_cast<std::size_t>(kBatch * kTokens * heads * kSize));
    for (Bf16& value : values) {
        value = Bf16(normal(generator));
    }
    return values;
}

std::vector<double> widen(const std::vector<Bf16>& values) {
    std::vector<double> wide;
    for (const Bf16 value : values) {
        wide.push_back(static_cast<double>(static_cast<float>(value)));
    }
    return wide;
}

std::size_t at(std::int64_t batch, std::int64_t token, std::int64_t heads, std::int64_t head, std::int64_t c) {
    return static_cast<std::size_t>(((batch * kTokens + token) * heads + head) * kSize + c);
}

constexpr double kScale = 0.25;

/// Attention in double precision; rows past the length stay 0.
std::vector<double> attention(const std::vector<double>& q, const std::vector<double>& k,
                              const std::vector<double>& v) {
    std::vector<double> out(q.size(), 0.0);
    for (std::int64_t b = 0; b < kBatch; ++b) {
        for (std::int64_t h = 0; h < kHeads; ++h) {
            const std::int64_t kv = h / (kHeads / kKvHeads);
            for (std::int64_t i = 0; i < kLengths[b]; ++i) {
                double weights[kTokens];
                double sum = 0;
                for (std::int64_t j = 0; j < kLengths[b]; ++j) {
                    double score = 0;
                    for (std::int64_t c = 0; c < kSize; ++c) {
                        score += q[at(b, i, kHeads, h, c)] * k[at(b, j, kKvHeads, kv, c)];
                    }
                    sum += weights[j] = std::exp(kScale * score);
                }
                for (std::int64_t j = 0; j < kLengths[b]; ++j) {
                    for (std::int64_t c = 0; c < kSize; ++c) {
                        out[at(b, i, kHeads, h, c)] += weights[j] / sum * v[at(b, j, kKvHeads, kv, c)];
                    }
                }
            }
        }
    }
    return out;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cudnn_attention)

// bf16 results are rounded by 2^-9 of themselves, gradients additionally use the rounded output: 2e-2 and 6e-2 of
// values around 1. A wrong head, length or sign is off by about 1.
BOOST_AUTO_TEST_CASE(forward_and_backward) {
    TestStream stream;
    cudnnHandle_t handle = nullptr;
    ok(cudnnCreate(&handle));
    ok(cudnnSetStream(handle, stream));
    const auto q = random_rows(kHeads, 1);
    const auto k = random_rows(kKvHeads, 2);
    const auto v = random_rows(kKvHeads, 3);
    const auto dout = random_rows(kHeads, 4);
    TestArray<Bf16> dq_device(q.size(), Bf16(0.f)), dk_device(k.size(), Bf16(0.f)), dv_device(v.size(), Bf16(0.f));
    TestArray<Bf16> q_device(q), k_device(k), v_device(v), o_device(q.size(), Bf16(0.f)), dout_device(dout);
    TestArray<float> statistics(kBatch * kHeads * kTokens);
    TestArray<std::int32_t> lengths(std::vector<std::int32_t>(kLengths, kLengths + kBatch));
    TestArray<char> workspace(4096);
    float scale = static_cast<float>(kScale);
    Builder b;
    const auto forward = b.plan(forward_operation(b));
    const auto backward = b.plan(backward_operation(b));
    const auto pack = b.pack({{1, q_device},
                              {2, k_device},
                              {3, v_device},
                              {4, o_device},
                              {5, statistics},
                              {6, &scale},
                              {7, lengths},
                              {8, dout_device},
                              {9, dq_device},
                              {10, dk_device},
                              {11, dv_device}},
                             workspace);
    ok(cudnnBackendExecute(handle, forward, pack));
    ok(cudnnBackendExecute(handle, backward, pack));
    const auto o = widen(o_device.read(stream));
    const auto expected = attention(widen(q), widen(k), widen(v));
    for (std::size_t i = 0; i < o.size(); ++i) {
        BOOST_TEST(std::fabs(o[i] - expected[i]) < 2e-2);
    }
    const std::vector<double> inputs[3] = {widen(q), widen(k), widen(v)};
    const std::vector<double> gradients[3] = {widen(dq_device.read(stream)), widen(dk_device.read(stream)),
                                              widen(dv_device.read(stream))};
    std::mt19937 generator(9);
    for (std::size_t which = 0; which < 3; ++which) {
        for (int repeat = 0; repeat < 40; ++repeat) {
            const std::size_t i = generator() % inputs[which].size();
            std::vector<double> up[3] = {inputs[0], inputs[1], inputs[2]};
            std::vector<double> down[3] = {inputs[0], inputs[1], inputs[2]};
            up[which][i] += 1e-4;
            down[which][i] -= 1e-4;
            const double slope = (dot(widen(dout), attention(up[0], up[1], up[2])) -
                                  dot(widen(dout), attention(down[0], down[1], down[2]))) /
                                 2e-4;
            BOOST_TEST(std::fabs(gradients[which][i] - slope) < 6e-2);
        }
    }
    ok(cudnnDestroy(handle));
}

BOOST_AUTO_TEST_CASE(refusals) {
    const auto refused = [](const char* expected, const std::function<void(Builder&)>& build) {
        const ChildResult child = run_in_child({}, [&] {
            Builder b;
            build(b);
            return 0;
        });
        BOOST_TEST(child.exit_code == 3);
        BOOST_TEST(child.says(expected), child.text);
    };
    refused("head size", [](Builder& b) { ok(cudnnBackendFinalize(forward_operation(b, 12))); });
    refused("not finalized", [](Builder& b) {
        b.link(b.make(CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR), CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC,
               b.make(CUDNN_BACKEND_TENSOR_DESCRIPTOR));
    });
    refused("not modelled", [](Builder& b) { ok(cudnnBackendFinalize(b.make(CUDNN_BACKEND_MATMUL_DESCRIPTOR))); });
    refused("finalized descriptor",
            [](Builder& b) { b.set<std::int64_t>(b.rows(1, 2), CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, {2}); });
    refused("attention without q",
            [](Builder& b) { ok(cudnnBackendFinalize(b.make(CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR))); });
    refused("dimensions of o", [](Builder& b) {
        const auto operation = forward_operation(b);
        b.link(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, b.rows(4, kKvHeads));
        ok(cudnnBackendFinalize(operation));
    });
}

BOOST_AUTO_TEST_SUITE_END()
