// Attention operations of the cuDNN stand-in: what is required of their tensors, and their execution.
#include <algorithm>
#include <array>

#include "cudnn.hpp"
#include "sdpa.hpp"

namespace standin {
namespace {

/// One tensor of the operation: where its descriptor is (forward, backward; 0: not there) and where its pointer goes.
struct Role {
    const char* name;
    int forward;
    int backward;
    bool required;
    SdpaTensor Sdpa::*tensor;
};

const std::array kRoles{
    Role{"q", CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC, true, &Sdpa::q},
    Role{"k", CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC, true, &Sdpa::k},
    Role{"v", CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC, true, &Sdpa::v},
    Role{"o", CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC, true, &Sdpa::o},
    Role{"statistics", CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC, false,
         &Sdpa::statistics},
    Role{"dO", 0, CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC, true, &Sdpa::dout},
    Role{"dq", 0, CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC, true, &Sdpa::dq},
    Role{"dk", 0, CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC, true, &Sdpa::dk},
    Role{"dv", 0, CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC, true, &Sdpa::dv},
};

bool is_backward(const Descriptor& operation) {
    return operation.type == CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR;
}

int attribute_of(const Role& role, const Descriptor& operation) {
    return is_backward(operation) ? role.backward : role.forward;
}

using Shape = std::vector<std::int64_t>;

Shape shape_of(const Descriptor& tensor) {
    return tensor.all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
}

int type_of(const Descriptor& tensor) {
    return tensor.value<std::int32_t>(CUDNN_ATTR_TENSOR_DATA_TYPE, -1);
}

cudnnStatus_t check_tensor(const Role& role, const Descriptor& operation) {
    const int attribute = attribute_of(role, operation);
    if (attribute == 0) {
        return CUDNN_STATUS_SUCCESS;
    }
    const DescriptorPointer tensor = operation.child(attribute);
    if (tensor == nullptr) {
        const bool needed = role.required || is_backward(operation);
        return needed ? refuse_cudnn(CUDNN_STATUS_BAD_PARAM, std::string("attention without ") + role.name)
                      : CUDNN_STATUS_SUCCESS;
    }
    const bool statistics = role.tensor == &Sdpa::statistics;
    if (type_of(*tensor) != (statistics ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16)) {
        return refuse_cudnn(CUDNN_STATUS_NOT_SUPPORTED, std::string("attention: element type of ") + role.name);
    }
    const Shape strides = tensor->all<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
    if (shape_of(*tensor).size() != 4 || strides[3] != 1) {
        return refuse_cudnn(CUDNN_STATUS_BAD_PARAM,
                            std::string("attention: ") + role.name + " needs four dimensions and a last stride of 1");
    }
    return CUDNN_STATUS_SUCCESS;
}

/// [batch, heads, tokens, columns] as the queries and keys demand it.
Shape expected_shape(const Role& role, const Shape& q, const Shape& k, const Shape& v) {
    if (role.tensor == &Sdpa::q || role.tensor == &Sdpa::dq) {
        return q;
    }
    if (role.tensor == &Sdpa::k || role.tensor == &Sdpa::dk) {
        return {q[0], k[1], k[2], q[3]};
    }
    if (role.tensor == &Sdpa::v || role.tensor == &Sdpa::dv) {
        return {q[0], k[1], k[2], v[3]};
    }
    return {q[0], q[1], q[2], role.tensor == &Sdpa::statistics ? 1 : v[3]};
}

struct Lengths {
    int q;
    int kv;
};

Lengths length_attributes(const Descriptor& operation) {
    return is_backward(operation)
               ? Lengths{CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_QDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_KVDESC}
               : Lengths{CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_QDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_KVDESC};
}

int scale_attribute(const Descriptor& operation) {
    return is_backward(operation) ? CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC : CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC;
}

/// Pointers of a variant pack by unique id, checked as they are asked for.
class Pointers {
public:
    explicit Pointers(const Descriptor& pack)
        : ids_(pack.all<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS)),
          pointers_(pack.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS)) {}

    /// Null, and ok() false, if there is none or it is not aligned device memory as the tensor says.
    void* of(const Descriptor& tensor, const char* name) {
        const auto id = tensor.value<std::int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID, 0);
        const auto found = std::find(ids_.begin(), ids_.end(), id);
        if (found == ids_.end()) {
            report(std::string("cuDNN: the variant pack has no pointer for ") + name);
            ok_ = false;
            return nullptr;
        }
        void* pointer = pointers_[static_cast<std::size_t>(found - ids_.begin())];
        const bool by_value = tensor.value<char>(CUDNN_ATTR_TENSOR_IS_BY_VALUE, 0) != 0;
        const auto alignment = tensor.value<std::int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1);
        if (!by_value && (!require_device(pointer, 1, name) ||
                          reinterpret_cast<std::uintptr_t>(pointer) % static_cast<std::uintptr_t>(alignment) != 0)) {
            report(std::string("cuDNN: ") + name + " must be device memory aligned to " + std::to_string(alignment));
            ok_ = false;
        }
        return pointer;
    }
    bool ok() const { return ok_; }

private:
    std::vector<std::int64_t> ids_;
    std::vector<void*> pointers_;
    bool ok_ = true;
};

SdpaTensor bind_tensor(const Descriptor& tensor, const char* name, Pointers& pointers) {
    SdpaTensor bound;
    bound.values = pointers.of(tensor, name);
    const Shape dimensions = shape_of(tensor);
    const Shape strides = tensor.all<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
    std::copy_n(dimensions.begin(), 4, bound.dimensions.begin());
    std::copy_n(strides.begin(), 4, bound.strides.begin());
    if (const DescriptorPointer ragged = tensor.child(CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC); ragged != nullptr) {
        bound.ragged = static_cast<const std::int32_t*>(pointers.of(*ragged, "ragged offsets"));
    }
    return bound;
}

}  // namespace

cudnnStatus_t check_attention(const Descriptor& operation) {
    for (const Role& role : kRoles) {
        if (const cudnnStatus_t code = check_tensor(role, operation); code != CUDNN_STATUS_SUCCESS) {
            return code;
        }
    }
    const auto shape = [&](std::size_t role) {
        return shape_of(*operation.child(attribute_of(kRoles[role], operation)));
    };
    const Shape q = shape(0);
    const Shape k = shape(1);
    const Shape v = shape(2);
    if (q[3] % 8 != 0 || q[3] > 256 || k[1] == 0 || q[1] % k[1] != 0) {
        return refuse_cudnn(CUDNN_STATUS_NOT_SUPPORTED, "attention: head size or number of heads");
    }
    for (const Role& role : kRoles) {
        const int attribute = attribute_of(role, operation);
        const DescriptorPointer tensor = attribute != 0 ? operation.child(attribute) : nullptr;
        if (tensor != nullptr && shape_of(*tensor) != expected_shape(role, q, k, v)) {
            return refuse_cudnn(CUDNN_STATUS_BAD_PARAM, std::string("attention: dimensions of ") + role.name);
        }
    }
    const Lengths lengths = length_attributes(operation);
    for (const int attribute : {lengths.q, lengths.kv}) {
        const DescriptorPointer tensor = operation.child(attribute);
        if (tensor != nullptr && (type_of(*tensor) != CUDNN_DATA_INT32 || shape_of(*tensor) != Shape{q[0], 1, 1, 1})) {
            return refuse_cudnn(CUDNN_STATUS_BAD_PARAM, "attention: lengths must be int32 of [batch, 1, 1, 1]");
        }
    }
    const DescriptorPointer scale = operation.child(scale_attribute(operation));
    if (scale == nullptr || type_of(*scale) != CUDNN_DATA_FLOAT ||
        scale->value<char>(CUDNN_ATTR_TENSOR_IS_BY_VALUE, 0) == 0) {
        return refuse_cudnn(CUDNN_STATUS_NOT_SUPPORTED, "attention: only a scale in fp32 passed by value is modelled");
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t execute_attention(const Descriptor& plan, const Descriptor& pack, cudaStream_t stream) {
    const DescriptorPointer engine =
        plan.child(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)->child(CUDNN_ATTR_ENGINECFG_ENGINE);
    const DescriptorPointer operation =
        engine->child(CUDNN_ATTR_ENGINE_OPERATION_GRAPH)->child(CUDNN_ATTR_OPERATIONGRAPH_OPS);
    if (operation->type != CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR && !is_backward(*operation)) {
        return refuse_cudnn(CUDNN_STATUS_NOT_SUPPORTED, "only attention is modelled");
    }
    Pointers pointers(pack);
    Sdpa x;
    for (const Role& role : kRoles) {
        const int attribute = attribute_of(role, *operation);
        if (const DescriptorPointer tensor = attribute != 0 ? operation->child(attribute) : nullptr;
            tensor != nullptr) {
            x.*role.tensor = bind_tensor(*tensor, role.name, pointers);
        }
    }
    const Lengths lengths = length_attributes(*operation);
    if (const DescriptorPointer tensor = operation->child(lengths.q); tensor != nullptr) {
        x.q_lengths = static_cast<const std::int32_t*>(pointers.of(*tensor, "lengths of queries"));
    }
    if (const DescriptorPointer tensor = operation->child(lengths.kv); tensor != nullptr) {
        x.kv_lengths = static_cast<const std::int32_t*>(pointers.of(*tensor, "lengths of keys"));
    }
    const auto* scale =
        static_cast<const float*>(pointers.of(*operation->child(scale_attribute(*operation)), "the scale"));
    auto* workspace = pack.value<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, nullptr);
    if (!pointers.ok() || scale == nullptr ||
        !require_device(workspace, kAttentionWorkspaceBytes, "cuDNN's workspace")) {
        return refuse_cudnn(CUDNN_STATUS_BAD_PARAM, "attention: a pointer of the variant pack");
    }
    x.scale = *scale;
    enqueue(stream, "attention by cuDNN", [x, workspace, backward = is_backward(*operation)] {
        if (status() == cudaSuccess) {
            note_write(workspace, kAttentionWorkspaceBytes);
            std::memset(workspace, 0xFF, kAttentionWorkspaceBytes);
            backward ? sdpa_backward(x) : sdpa_forward(x);
        }
        return Progress::done;
    });
    return CUDNN_STATUS_SUCCESS;
}

}  // namespace standin
