// Stand-in for the backend calls of cuDNN: descriptors and how they are built. cudnn_attention.cpp executes what they
// say.
#include "cudnn.hpp"

#include <cstdio>

namespace standin {
namespace {

using Handle = std::shared_ptr<Descriptor>;

struct Context {
    cudaStream_t stream = nullptr;
};

thread_local std::string last_message;

Handle& handle_of(cudnnBackendDescriptor_t descriptor) {
    return *reinterpret_cast<Handle*>(descriptor);
}

std::size_t type_bytes(cudnnBackendAttributeType_t type) {
    switch (type) {
        case CUDNN_TYPE_BOOLEAN:
        case CUDNN_TYPE_CHAR:
            return 1;
        case CUDNN_TYPE_INT64:
        case CUDNN_TYPE_DOUBLE:
        case CUDNN_TYPE_VOID_PTR:
        case CUDNN_TYPE_HANDLE:
            return 8;
        default:
            return 4;  // enumerations, int32, float
    }
}

cudnnStatus_t check_tensor(const Descriptor& tensor) {
    for (const int attribute : {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_ATTR_TENSOR_STRIDES,
                                CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT}) {
        if (!tensor.has(attribute)) {
            return refuse_cudnn(CUDNN_STATUS_BAD_PARAM, "tensor without attribute " + std::to_string(attribute));
        }
    }
    if (tensor.all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS).size() !=
        tensor.all<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES).size()) {
        return refuse_cudnn(CUDNN_STATUS_BAD_PARAM, "tensor with other numbers of dimensions and strides");
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t require_child(const Descriptor& descriptor, int attribute, const char* what) {
    return descriptor.child(attribute) != nullptr
               ? CUDNN_STATUS_SUCCESS
               : refuse_cudnn(CUDNN_STATUS_BAD_PARAM, std::string(what) + " missing");
}

cudnnStatus_t check_descriptor(const Descriptor& descriptor) {
    switch (descriptor.type) {
        case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
            return check_tensor(descriptor);
        case CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR:
        case CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR:
            return check_attention(descriptor);
        case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR: {
            const auto operations = descriptor.children.find(CUDNN_ATTR_OPERATIONGRAPH_OPS);
            return operations != descriptor.children.end() && operations->second.size() == 1
                       ? CUDNN_STATUS_SUCCESS
                       : refuse_cudnn(CUDNN_STATUS_NOT_SUPPORTED, "only graphs of one operation are modelled");
        }
        case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
            if (descriptor.value<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, -1) != 0) {
                return refuse_cudnn(CUDNN_STATUS_NOT_SUPPORTED, "there is only engine 0");
            }
            return require_child(descriptor, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, "operation graph of an engine");
        case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
            return require_child(descriptor, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, "operation graph of a heuristic");
        case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR:
            return require_child(descriptor, CUDNN_ATTR_ENGINECFG_ENGINE, "engine of a configuration");
        case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
            return require_child(descriptor, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, "configuration of a plan");
        case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
            return descriptor.all<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS).size() ==
                           descriptor.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS).size()
                       ? CUDNN_STATUS_SUCCESS
                       : refuse_cudnn(CUDNN_STATUS_BAD_PARAM, "variant pack with other numbers of ids and pointers");
        default:
            return refuse_cudnn(CUDNN_STATUS_NOT_SUPPORTED,
                                "descriptor type " + std::to_string(descriptor.type) + " is not modelled");
    }
}

/// The one result of a heuristic: the only engine.
cudnnStatus_t get_heuristic(const Descriptor& heuristic, std::int64_t requested, std::int64_t* count, void* array) {
    *count = 1;
    if (requested < 1 || array == nullptr) {
        return CUDNN_STATUS_SUCCESS;
    }
    auto engine = std::make_shared<Descriptor>();
    engine->type = CUDNN_BACKEND_ENGINE_DESCRIPTOR;
    engine->finalized = true;
    engine->children[CUDNN_ATTR_ENGINE_OPERATION_GRAPH] = {heuristic.child(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH)};
    Descriptor& result = *handle_of(*static_cast<cudnnBackendDescriptor_t*>(array));
    if (result.type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) {
        return refuse_cudnn(CUDNN_STATUS_BAD_PARAM, "results of a heuristic are engine configurations");
    }
    result.children[CUDNN_ATTR_ENGINECFG_ENGINE] = {engine};
    result.finalized = true;
    return CUDNN_STATUS_SUCCESS;
}

template <class T>
cudnnStatus_t get_value(T value, std::int64_t requested, std::int64_t* count, void* array) {
    *count = 1;
    if (requested > 0) {
        std::memcpy(array, &value, sizeof value);
    }
    return CUDNN_STATUS_SUCCESS;
}

}  // namespace

cudnnStatus_t refuse_cudnn(cudnnStatus_t code, const std::string& message) {
    report("cuDNN: " + message);
    last_message = message;
    return code;
}

}  // namespace standin

using namespace standin;

extern "C" {

size_t cudnnGetVersion() {
    return CUDNN_VERSION;
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
    if (status() != cudaSuccess) {
        return CUDNN_STATUS_NOT_INITIALIZED;
    }
    *handle = reinterpret_cast<cudnnHandle_t>(new Context);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
    delete reinterpret_cast<Context*>(handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    reinterpret_cast<Context*>(handle)->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

void cudnnGetLastErrorString(char* message, size_t bytes) {
    std::snprintf(message, bytes, "%s", last_message.c_str());
}

const char* cudnnGetErrorString(cudnnStatus_t code) {
    switch (code) {
        case CUDNN_STATUS_SUCCESS:
            return "CUDNN_STATUS_SUCCESS";
        case CUDNN_STATUS_NOT_INITIALIZED:
            return "CUDNN_STATUS_NOT_INITIALIZED";
        case CUDNN_STATUS_BAD_PARAM:
            return "CUDNN_STATUS_BAD_PARAM";
        case CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED:
            return "CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED";
        case CUDNN_STATUS_NOT_SUPPORTED:
            return "CUDNN_STATUS_NOT_SUPPORTED";
        default:
            return "CUDNN_STATUS of another kind";
    }
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
    auto created = std::make_shared<Descriptor>();
    created->type = type;
    *descriptor = reinterpret_cast<cudnnBackendDescriptor_t>(new Handle(created));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
    delete reinterpret_cast<Handle*>(descriptor);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t handle, cudnnBackendAttributeName_t attribute,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* array) {
    Descriptor& descriptor = *handle_of(handle);
    if (descriptor.finalized) {
        return refuse_cudnn(CUDNN_STATUS_NOT_INITIALIZED, "attribute of a finalized descriptor");
    }
    if (array == nullptr || count < 1) {
        return refuse_cudnn(CUDNN_STATUS_BAD_PARAM, "attribute without a value");
    }
    const auto elements = static_cast<std::size_t>(count);
    if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        const auto* bytes = static_cast<const char*>(array);
        descriptor.values[attribute].assign(bytes, bytes + elements * type_bytes(type));
        return CUDNN_STATUS_SUCCESS;
    }
    std::vector<DescriptorPointer> children;
    for (std::size_t i = 0; i < elements; ++i) {
        children.push_back(handle_of(static_cast<const cudnnBackendDescriptor_t*>(array)[i]));
        if (!children.back()->finalized) {
            return refuse_cudnn(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
                                "a descriptor that is not finalized as attribute");
        }
    }
    descriptor.children[attribute] = children;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const handle, cudnnBackendAttributeName_t attribute,
                                       cudnnBackendAttributeType_t, int64_t requested, int64_t* count, void* array) {
    const Descriptor& descriptor = *handle_of(handle);
    if (!descriptor.finalized) {
        return refuse_cudnn(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "attribute of a descriptor that is not finalized");
    }
    std::int64_t ignored = 0;
    count = count != nullptr ? count : &ignored;
    switch (attribute) {
        case CUDNN_ATTR_ENGINEHEUR_RESULTS:
            return get_heuristic(descriptor, requested, count, array);
        case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
            return get_value(kAttentionWorkspaceBytes, requested, count, array);
        case CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT:
            return get_value(std::int64_t{1}, requested, count, array);
        case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
            *count = 0;
            return CUDNN_STATUS_SUCCESS;
        default:
            return refuse_cudnn(CUDNN_STATUS_NOT_SUPPORTED,
                                "reading attribute " + std::to_string(attribute) + " is not modelled");
    }
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t handle) {
    Descriptor& descriptor = *handle_of(handle);
    const cudnnStatus_t code = check_descriptor(descriptor);
    descriptor.finalized = code == CUDNN_STATUS_SUCCESS;
    return code;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
    const Descriptor& plan_descriptor = *handle_of(plan);
    const Descriptor& pack_descriptor = *handle_of(pack);
    if (!plan_descriptor.finalized || !pack_descriptor.finalized ||
        plan_descriptor.type != CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
        return refuse_cudnn(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "execution needs a finalized plan and variant pack");
    }
    const cudaStream_t stream = reinterpret_cast<Context*>(handle)->stream;
    if (check_stream(stream, "cudnnBackendExecute") != cudaSuccess) {
        return CUDNN_STATUS_BAD_PARAM;
    }
    return execute_attention(plan_descriptor, pack_descriptor, stream);
}

}  // extern "C"
