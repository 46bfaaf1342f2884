// cuBLASLt products of the stand-in: values against double loops, bits independent of the number of rows, refusals.
#include <cublasLt.h>
#include <cuda_bf16.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <random>

#include "support.hpp"

namespace {

/// Shape of row-major y [rows, out] = x [rows, in] w [out, in]^T + bias, as column-major operands, and its extras.
struct Shape {
    std::size_t rows;
    std::size_t in;
    std::size_t out;
    bool transposed_weight = true;  // w is [out, in]; else [in, out]
    bool transposed_input = false;  // x is [in, rows]
    bool bias = false;
    float alpha = 1.0f;
    float beta = 0.0f;
    std::size_t batches = 1;
};

template <class T>
constexpr cudaDataType_t kType = sizeof(T) == 4 ? CUDA_R_32F : CUDA_R_16BF;

template <class T>
std::vector<T> random_values(std::size_t count, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    std::vector<T> values(count);
    for (T& value : values) {
        value = T(normal(generator));
    }
    return values;
}

void ok(cublasStatus_t code) {
    BOOST_REQUIRE_EQUAL(static_cast<int>(code), static_cast<int>(CUBLAS_STATUS_SUCCESS));
}

/// Descriptors of one product; everything the test may spoil before it asks.
struct Plan {
    cublasLtHandle_t handle = nullptr;
    cublasLtMatmulDesc_t problem = nullptr;
    cublasLtMatrixLayout_t w = nullptr;
    cublasLtMatrixLayout_t x = nullptr;
    cublasLtMatrixLayout_t y = nullptr;
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatmulHeuristicResult_t choice = {};

    Plan(const Shape& s, cudaDataType_t in_type, cudaDataType_t out_type, void* bias) {
        ok(cublasLtCreate(&handle));
        ok(cublasLtMatmulDescCreate(&problem, CUBLAS_COMPUTE_32F, CUDA_R_32F));
        const cublasOperation_t transpose = CUBLAS_OP_T;
        if (s.transposed_weight) {
            ok(cublasLtMatmulDescSetAttribute(problem, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof transpose));
        }
        if (s.transposed_input) {
            ok(cublasLtMatmulDescSetAttribute(problem, CUBLASLT_MATMUL_DESC_TRANSB, &transpose, sizeof transpose));
        }
        if (s.bias) {
            const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
            ok(cublasLtMatmulDescSetAttribute(problem, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
            ok(cublasLtMatmulDescSetAttribute(problem, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
        }
        const std::size_t w_rows = s.transposed_weight ? s.in : s.out;
        const std::size_t x_rows = s.transposed_input ? s.rows : s.in;
        make(&w, in_type, w_rows, s.in * s.out / w_rows, s);
        make(&x, in_type, x_rows, s.in * s.rows / x_rows, s);
        make(&y, out_type, s.out, s.rows, s);
        ok(cublasLtMatmulPreferenceCreate(&preference));
        const std::uint32_t alignment = 16;
        for (const auto attribute :
             {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
              CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
            ok(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &alignment, sizeof alignment));
        }
    }
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;
    ~Plan() {
        cublasLtMatmulPreferenceDestroy(preference);
        for (auto layout : {w, x, y}) {
            cublasLtMatrixLayoutDestroy(layout);
        }
        cublasLtMatmulDescDestroy(problem);
        cublasLtDestroy(handle);
    }
    static void make(cublasLtMatrixLayout_t* layout, cudaDataType_t type, std::size_t rows, std::size_t columns,
                     const Shape& s) {
        ok(cublasLtMatrixLayoutCreate(layout, type, rows, columns, static_cast<std::int64_t>(rows)));
        if (s.batches > 1) {
            const auto batches = static_cast<std::int32_t>(s.batches);
            const auto stride = static_cast<std::int64_t>(rows * columns);
            ok(cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batches, sizeof batches));
            ok(cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                                                sizeof stride));
        }
    }
    void set_workspace(std::uint64_t bytes) {
        ok(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes,
                                                sizeof bytes));
    }
    cublasStatus_t choose() {
        int found = 0;
        return cublasLtMatmulAlgoGetHeuristic(handle, problem, w, x, y, y, preference, 1, &choice, &found);
    }
};

template <class In, class Out>
std::vector<Out> multiply(const Shape& s, const std::vector<In>& x, const std::vector<In>& w,
                          const std::vector<Out>& bias, const std::vector<Out>& before) {
    TestStream stream;
    TestArray<In> x_device(x);
    TestArray<In> w_device(w);
    TestArray<Out> bias_device(bias);
    TestArray<Out> y_device(before);
    TestArray<char> workspace(1 << 20);
    Plan plan(s, kType<In>, kType<Out>, static_cast<Out*>(bias_device));
    plan.set_workspace(1 << 20);
    ok(plan.choose());
    ok(cublasLtMatmul(plan.handle, plan.problem, &s.alpha, static_cast<In*>(w_device), plan.w,
                      static_cast<In*>(x_device), plan.x, &s.beta, static_cast<Out*>(y_device), plan.y,
                      static_cast<Out*>(y_device), plan.y, &plan.choice.algo, static_cast<char*>(workspace), 1 << 20,
                      stream));
    return y_device.read(stream);
}

template <class In, class Out>
void compare_with_double_loop(const Shape& s, double tolerance) {
    const auto x = random_values<In>(s.batches * s.rows * s.in, 1);
    const auto w = random_values<In>(s.batches * s.in * s.out, 2);
    const auto bias = random_values<Out>(s.out, 3);
    const auto before = random_values<Out>(s.batches * s.rows * s.out, 4);
    const auto y = multiply<In, Out>(s, x, w, bias, before);
    double worst = 0;
    for (std::size_t b = 0; b < s.batches; ++b) {
        for (std::size_t row = 0; row < s.rows; ++row) {
            for (std::size_t column = 0; column < s.out; ++column) {
                double sum = 0;
                for (std::size_t k = 0; k < s.in; ++k) {
                    const std::size_t at_x = s.transposed_input ? k * s.rows + row : row * s.in + k;
                    const std::size_t at_w = s.transposed_weight ? column * s.in + k : k * s.out + column;
                    sum += static_cast<double>(static_cast<float>(x[b * s.rows * s.in + at_x])) *
                           static_cast<double>(static_cast<float>(w[b * s.in * s.out + at_w]));
                }
                const std::size_t at = (b * s.rows + row) * s.out + column;
                double expected = static_cast<double>(s.alpha) * sum;
                expected += static_cast<double>(s.beta) * static_cast<double>(static_cast<float>(before[at]));
                expected += s.bias ? static_cast<double>(static_cast<float>(bias[column])) : 0.0;
                const double error = std::fabs(expected - static_cast<double>(static_cast<float>(y[at])));
                worst = error <= worst ? worst : error;
            }
        }
    }
    BOOST_TEST(worst <= tolerance * std::sqrt(static_cast<double>(s.in)));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(products)

// Tolerances: fp32 rounding of a sum of k terms grows like its root; a bf16 result is rounded by up to 2^-9 of itself,
// and results are up to 5 roots of k.
BOOST_AUTO_TEST_CASE(values_against_double_loops) {
    const std::vector<Shape> shapes = {
        {.rows = 1, .in = 1, .out = 1},
        {.rows = 7, .in = 33, .out = 129, .bias = true},
        {.rows = 5, .in = 16, .out = 31, .transposed_weight = false},
        {.rows = 9, .in = 40, .out = 64, .transposed_weight = false, .transposed_input = true},
        {.rows = 6, .in = 24, .out = 48, .transposed_input = true, .alpha = 0.5f, .beta = 1.0f},
        {.rows = 4, .in = 16, .out = 8, .bias = true, .beta = 1.0f, .batches = 3},
    };
    for (const Shape& shape : shapes) {
        BOOST_TEST_CONTEXT(shape.rows << " x " << shape.in << " x " << shape.out) {
            compare_with_double_loop<float, float>(shape, 1e-6);
            compare_with_double_loop<__nv_bfloat16, float>(shape, 1e-6);
            compare_with_double_loop<__nv_bfloat16, __nv_bfloat16>(shape, 1e-2);
        }
    }
}

// The promise of same bytes needs rows whose bits do not depend on how many others are computed with them.
BOOST_AUTO_TEST_CASE(bits_of_a_row_do_not_depend_on_the_number_of_rows) {
    const std::size_t in = 96;
    const std::size_t out = 80;
    const auto x = random_values<float>(13 * in, 5);
    const auto w = random_values<float>(out * in, 6);
    const std::vector<float> bias(out, 0.0f);
    const auto all =
        multiply<float, float>({.rows = 13, .in = in, .out = out}, x, w, bias, std::vector<float>(13 * out));
    for (const std::size_t rows : {1u, 2u, 3u, 4u, 5u, 8u}) {
        const std::vector<float> part(x.end() - static_cast<long>(rows * in), x.end());
        const auto some =
            multiply<float, float>({.rows = rows, .in = in, .out = out}, part, w, bias, std::vector<float>(rows * out));
        BOOST_TEST(std::memcmp(some.data(), all.data() + (13 - rows) * out, rows * out * sizeof(float)) == 0);
    }
}

BOOST_AUTO_TEST_CASE(refusals) {
    const Shape s{.rows = 8, .in = 16, .out = 32};
    const auto refused = [](const char* expected, const std::function<cublasStatus_t()>& ask) {
        const ChildResult child = run_in_child({}, [&] { return ask() == CUBLAS_STATUS_SUCCESS ? 1 : 0; });
        BOOST_TEST(child.exit_code == 0);
        BOOST_TEST(child.says(expected), "says: " << child.text);
    };
    refused("stated workspace size", [&] { return Plan(s, CUDA_R_32F, CUDA_R_32F, nullptr).choose(); });
    refused("element types", [&] {
        Plan plan(s, CUDA_R_32F, CUDA_R_16BF, nullptr);
        plan.set_workspace(0);
        return plan.choose();
    });
    refused("no pointer", [&] {
        Plan plan({.rows = 8, .in = 16, .out = 32, .bias = true}, CUDA_R_32F, CUDA_R_32F, nullptr);
        plan.set_workspace(0);
        return plan.choose();
    });
    refused("do not fit together", [&] {
        Plan plan(s, CUDA_R_32F, CUDA_R_32F, nullptr);
        plan.set_workspace(0);
        const std::uint64_t columns = 9;
        ok(cublasLtMatrixLayoutSetAttribute(plan.x, CUBLASLT_MATRIX_LAYOUT_COLS, &columns, sizeof columns));
        return plan.choose();
    });
    refused("leading dimension", [&] {
        Plan plan(s, CUDA_R_32F, CUDA_R_32F, nullptr);
        plan.set_workspace(0);
        const std::int64_t leading = 15;
        ok(cublasLtMatrixLayoutSetAttribute(plan.x, CUBLASLT_MATRIX_LAYOUT_LD, &leading, sizeof leading));
        return plan.choose();
    });
    refused("not modelled", [&] {
        Plan plan(s, CUDA_R_32F, CUDA_R_32F, nullptr);
        plan.set_workspace(0);
        const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_GELU;
        ok(cublasLtMatmulDescSetAttribute(plan.problem, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
        return plan.choose();
    });
}

BOOST_AUTO_TEST_CASE(refused_operands_and_algorithms) {
    const Shape s{.rows = 8, .in = 16, .out = 32};
    struct Case {
        const char* expected;
        std::size_t x_offset;  // elements
        std::size_t x_count;   // elements of the allocation
        bool host_input;
        std::size_t workspace;  // bytes passed
        bool default_stream;
        bool other_algorithm;
    };
    for (const Case& c : {Case{"not aligned", 1, 256, false, 4096, false, false},
                          Case{"more than its allocation", 0, 127, false, 4096, false, false},
                          Case{"not device memory", 0, 128, true, 4096, false, false},
                          Case{"smaller than the algorithm needs", 0, 128, false, 16, false, false},
                          Case{"default stream", 0, 128, false, 4096, true, false},
                          Case{"another kind of problem", 0, 128, false, 4096, false, true}}) {
        const ChildResult child = run_in_child({}, [&] {
            TestStream stream;
            TestArray<float> x(c.x_count);
            TestArray<float> w(s.in * s.out);
            TestArray<float> y(s.rows * s.out);
            TestArray<char> workspace(4096);
            std::vector<float> host(128);
            Plan plan(s, CUDA_R_32F, CUDA_R_32F, nullptr);
            plan.set_workspace(4096);
            ok(plan.choose());
            if (c.other_algorithm) {
                Plan other({.rows = 8, .in = 16, .out = 32, .transposed_weight = false}, CUDA_R_32F, CUDA_R_32F,
                           nullptr);
                other.set_workspace(4096);
                ok(other.choose());
                plan.choice = other.choice;
            }
            const float* input = c.host_input ? host.data() : x + c.x_offset;
            const cudaStream_t used = c.default_stream ? nullptr : static_cast<cudaStream_t>(stream);
            const auto code =
                cublasLtMatmul(plan.handle, plan.problem, &s.alpha, static_cast<float*>(w), plan.w, input, plan.x,
                               &s.beta, static_cast<float*>(y), plan.y, static_cast<float*>(y), plan.y,
                               &plan.choice.algo, static_cast<char*>(workspace), c.workspace, used);
            return code == CUBLAS_STATUS_SUCCESS ? 1 : 0;
        });
        BOOST_TEST(child.exit_code == 0);
        BOOST_TEST(child.says(c.expected), "says: " << child.text);
    }
}

BOOST_AUTO_TEST_SUITE_END()
