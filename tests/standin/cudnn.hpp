// Descriptors of the cuDNN stand-in: a type, and the bytes or descriptors of each attribute. Test only.
#pragma once

#include <cudnn.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "standin.hpp"

namespace standin {

struct Descriptor;
using DescriptorPointer = std::shared_ptr<const Descriptor>;

struct Descriptor {
    cudnnBackendDescriptorType_t type{};
    bool finalized = false;
    std::map<int, std::vector<char>> values;
    std::map<int, std::vector<DescriptorPointer>> children;

    bool has(int attribute) const { return values.count(attribute) != 0 || children.count(attribute) != 0; }
    template <class T>
    std::vector<T> all(int attribute) const {
        const auto found = values.find(attribute);
        std::vector<T> items(found != values.end() ? found->second.size() / sizeof(T) : 0);
        if (!items.empty()) {
            std::memcpy(items.data(), found->second.data(), items.size() * sizeof(T));
        }
        return items;
    }
    /// The only value of the attribute, or the other one if it is not set.
    template <class T>
    T value(int attribute, T otherwise) const {
        const std::vector<T> items = all<T>(attribute);
        return items.size() == 1 ? items[0] : otherwise;
    }
    /// The attribute's first descriptor, or null.
    DescriptorPointer child(int attribute) const {
        const auto found = children.find(attribute);
        return found != children.end() && !found->second.empty() ? found->second[0] : nullptr;
    }
};

/// Reports, keeps the message for cudnnGetLastErrorString and returns the code.
cudnnStatus_t refuse_cudnn(cudnnStatus_t code, const std::string& message);

/// Whether the attention operation's tensors fit together.
cudnnStatus_t check_attention(const Descriptor& operation);
/// Starts the plan's attention on the stream, with pointers from the variant pack.
cudnnStatus_t execute_attention(const Descriptor& plan, const Descriptor& pack, cudaStream_t stream);
constexpr std::int64_t kAttentionWorkspaceBytes = 4096;

}  // namespace standin
