// Must not compile: a sum by atomics of floats depends on the order of threads.
__global__ void sum(const float* x, float* total) {
    atomicAdd(total, x[threadIdx.x]);
}
