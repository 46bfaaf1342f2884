// Blocks of fixed shape through oneDNN; see the header.
#include "block_product.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <utility>

#include "ladle/core/error.hpp"
#include "onednn.hpp"
#include "scratch.hpp"

namespace ladle::cpu {
namespace {

using dnnl::memory;

memory::data_type operand_type(Precision precision) {
    return precision == Precision::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc source_desc(const ProductShape& shape, bool transposed) {
    return {{shape.k, shape.n}, memory::data_type::f32, transposed ? memory::format_tag::ba : memory::format_tag::ab};
}

memory::desc bias_desc(const ProductShape& shape) {
    return {{1, shape.n}, memory::data_type::f32, memory::format_tag::ab};
}

// oneDNN's interface takes pointers to mutable memory for its inputs, too.
memory wrap(const memory::desc& desc, const void* data) {
    return {desc, onednn_engine(), const_cast<void*>(data)};
}

}  // namespace

/// The calling thread's handles on a block's arrays, pointed to the arrays of each call: making them costs about as
/// much as an adapter's product of 64 rows.
struct BlockProduct::Call {
    memory x;
    memory y;
    memory scratchpad;
    memory bias;
};

BlockProduct::BlockProduct(const ProductShape& shape)
    : shape_(shape), no_bias_(static_cast<std::size_t>(shape.bias ? shape.n : 0)) {
    const OneThread one_thread;
    try {
        const memory::desc any({shape.k, shape.n}, operand_type(shape.precision), memory::format_tag::any);
        blocks_.push_back(make_block(kLargeRows, any));
        blocks_.push_back(make_block(kSmallRows, weights_));
        for (const bool transposed : {false, true}) {
            pack_.at(transposed) = dnnl::reorder(dnnl::reorder::primitive_desc(
                onednn_engine(), source_desc(shape, transposed), onednn_engine(), weights_));
        }
    } catch (const dnnl::error& error) {
        throw DeviceError(fmt::format("oneDNN offers no product of {} by {} features", shape.k, shape.n), error.what(),
                          "use model.precision = fp32, or another version of oneDNN");
    }
}

BlockProduct::Block BlockProduct::make_block(int rows, const memory::desc& weights) {
    const memory::desc x({rows, shape_.k}, operand_type(shape_.precision), memory::format_tag::ab);
    const memory::desc y({rows, shape_.n}, memory::data_type::f32, memory::format_tag::ab);
    const memory::desc bias = shape_.bias ? bias_desc(shape_) : memory::desc();
    const auto primitive = make_matmul(x, weights, bias, y);
    weights_ = primitive.weights_desc();
    static std::atomic<std::uint64_t> made = 0;
    return {made++, rows, x, y, primitive.scratchpad_desc(), dnnl::matmul(primitive)};
}

memory BlockProduct::wrap_weights(void* bytes) const {
    return {weights_, onednn_engine(), bytes};
}

void BlockProduct::pack(const float* w, bool transposed, memory& weights) const {
    const OneThread one_thread;
    memory source = wrap(source_desc(shape_, transposed), w);
    pack_.at(transposed).execute(onednn_stream(), source, weights);
    onednn_stream().wait();
}

void BlockProduct::run(ToBfloat16 to_bfloat16, const memory& weights, int rows, const float* x, const float* bias,
                       float* y) const {
    const OneThread one_thread;
    int done = 0;
    while (done < rows) {
        const Block& block = block_for(rows - done);
        const int taken = std::min(rows - done, block.rows);
        const void* input = block_input(block, to_bfloat16, taken, x + static_cast<std::ptrdiff_t>(done) * shape_.k);
        run_block(block, weights, taken, input, bias, y + static_cast<std::ptrdiff_t>(done) * shape_.n);
        done += taken;
    }
}

void BlockProduct::run_operand(const memory& weights, int rows, const std::uint16_t* operand, const float* bias,
                               float* y) const {
    const OneThread one_thread;
    for (int done = 0; done < rows;) {
        const Block& block = block_for(rows - done);
        const int taken = std::min(rows - done, block.rows);
        run_block(block, weights, taken, operand + static_cast<std::ptrdiff_t>(done) * shape_.k, bias,
                  y + static_cast<std::ptrdiff_t>(done) * shape_.n);
        done += taken;
    }
}

const void* BlockProduct::block_input(const Block& block, ToBfloat16 to_bfloat16, int rows, const float* x) const {
    const auto k = static_cast<std::size_t>(shape_.k);
    const auto taken = static_cast<std::size_t>(rows) * k;
    const auto whole = static_cast<std::size_t>(block.rows) * k;
    if (shape_.precision == Precision::bf16) {
        auto* input = static_cast<std::uint16_t*>(thread_scratch(ScratchSlot::input, whole * sizeof(std::uint16_t)));
        to_bfloat16(taken, x, input);
        std::fill(input + taken, input + whole, std::uint16_t{0});
        return input;
    }
    if (rows == block.rows) {
        return x;
    }
    auto* input = static_cast<float*>(thread_scratch(ScratchSlot::input, whole * sizeof(float)));
    std::copy_n(x, taken, input);
    std::fill(input + taken, input + whole, 0.0F);
    return input;
}

BlockProduct::Call& BlockProduct::thread_call(const Block& block) const {
    // Numbers are never used again, so what a destroyed BlockProduct leaves behind is never found.
    thread_local std::unordered_map<std::uint64_t, Call> calls;
    const auto found = calls.find(block.number);
    if (found != calls.end()) {
        return found->second;
    }
    Call call{wrap(block.x, nullptr), wrap(block.y, nullptr), wrap(block.scratchpad, nullptr), {}};
    if (shape_.bias) {
        call.bias = wrap(bias_desc(shape_), nullptr);
    }
    return calls.emplace(block.number, std::move(call)).first->second;
}

void BlockProduct::run_block(const Block& block, const memory& weights, int rows, const void* input, const float* bias,
                             float* y) const {
    const bool whole = rows == block.rows;
    auto* output = whole ? y : static_cast<float*>(thread_scratch(ScratchSlot::output, block.y.get_size()));
    Call& call = thread_call(block);
    call.x.set_data_handle(const_cast<void*>(input));
    call.y.set_data_handle(output);
    call.scratchpad.set_data_handle(thread_scratch(ScratchSlot::library, block.scratchpad.get_size()));
    std::array<dnnl_exec_arg_t, 5> arguments = {{{DNNL_ARG_SRC, call.x.get()},
                                                 {DNNL_ARG_WEIGHTS, weights.get()},
                                                 {DNNL_ARG_DST, call.y.get()},
                                                 {DNNL_ARG_SCRATCHPAD, call.scratchpad.get()},
                                                 {DNNL_ARG_BIAS, nullptr}}};
    if (shape_.bias) {
        call.bias.set_data_handle(const_cast<float*>(bias != nullptr ? bias : no_bias_.data()));
        arguments[4].memory = call.bias.get();
    }
    dnnl::error::wrap_c_api(
        dnnl_primitive_execute(block.primitive.get(), onednn_stream().get(), shape_.bias ? 5 : 4, arguments.data()),
        "could not run a product");
    onednn_stream().wait();
    if (!whole) {
        std::copy_n(output, static_cast<std::size_t>(rows) * static_cast<std::size_t>(shape_.n), y);
    }
}

}  // namespace ladle::cpu
