# LADLE_GPU: adds the CUDA backend to ladle_core, built by nvcc for GPUs or by the host compiler for the stand-in.
set(ladle_gpu_libraries "")

# ladle_use_nvtx(<directories>...): names on the profiler's time line. Headers alone, but a package of their own in
# NVIDIA's repositories.
function(ladle_use_nvtx)
  find_path(NVTX_INCLUDE nvtx3/nvToolsExt.h HINTS ${ARGN})
  if(NOT NVTX_INCLUDE)
    message(FATAL_ERROR "NVTX's headers were not found: install NVIDIA's package cuda-nvtx, or set NVTX_INCLUDE to the "
      "folder that holds nvtx3/.")
  endif()
  target_include_directories(ladle_core SYSTEM PRIVATE ${NVTX_INCLUDE})
  target_link_libraries(ladle_core PUBLIC ${CMAKE_DL_LIBS})
endfunction()

file(GLOB ladle_cuda_sources CONFIGURE_DEPENDS src/backends/cuda/*.cpp)
file(GLOB ladle_cuda_kernels CONFIGURE_DEPENDS src/backends/cuda/*.cu)

if(LADLE_GPU STREQUAL off)
  target_sources(ladle_core PRIVATE src/backends/no_cuda.cpp src/comm/no_nccl.cpp)

elseif(LADLE_GPU STREQUAL cuda)
  find_package(CUDAToolkit REQUIRED)
  ladle_use_nvtx(${CUDAToolkit_INCLUDE_DIRS})
  target_sources(ladle_core PRIVATE ${ladle_cuda_sources} ${ladle_cuda_kernels})
  target_link_libraries(ladle_core PUBLIC CUDA::cudart CUDA::cublasLt)
  find_path(NCCL_INCLUDE nccl.h HINTS ${NCCL_ROOT}/include ${CUDAToolkit_INCLUDE_DIRS})
  find_library(NCCL_LIBRARY nccl HINTS ${NCCL_ROOT}/lib ${CUDAToolkit_LIBRARY_DIR})
  if(NCCL_INCLUDE AND NCCL_LIBRARY)
    target_sources(ladle_core PRIVATE src/comm/nccl.cpp)
    target_include_directories(ladle_core SYSTEM PRIVATE ${NCCL_INCLUDE})
    target_link_libraries(ladle_core PUBLIC ${NCCL_LIBRARY})
  else()
    message(WARNING "NCCL was not found: this build uses one GPU. Set NCCL_ROOT to the folder with its lib and include.")
    target_sources(ladle_core PRIVATE src/comm/no_nccl.cpp)
  endif()
  # An installed program finds the libraries where they are now.
  set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
  # Spilled registers and arrays in local memory are mistakes, as are doubles, but in the sums that need them.
  set(ladle_ptxas --warn-on-spills,--warn-on-local-memory-usage,-Werror)
  foreach(file ${ladle_cuda_kernels})
    set(flags "-Werror=all-warnings" "-Xptxas=${ladle_ptxas}")
    if(NOT file MATCHES "_double\\.cu$")
      list(APPEND flags "-Xptxas=--warn-on-double-precision-use")
    endif()
    set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "${flags}")
  endforeach()
  set(ladle_gpu_libraries ", CUDA ${CUDAToolkit_VERSION}")

elseif(LADLE_GPU STREQUAL standin)
  if(CMAKE_BUILD_TYPE STREQUAL Release)
    message(FATAL_ERROR "LADLE_GPU=standin is for tests: it computes on the CPU what would run on a GPU, slowly, and "
      "must not be taken for a release. Use the preset standin, or CMAKE_BUILD_TYPE=RelWithDebInfo.")
  endif()
  add_subdirectory(tests/standin)
  ladle_use_nvtx(${LADLE_CUDA_INCLUDE})
  target_sources(ladle_core PRIVATE ${ladle_cuda_sources} src/comm/nccl.cpp)
  ladle_standin_compile(ladle_core ${ladle_cuda_kernels})
  target_link_libraries(ladle_core PUBLIC ladle_standin)
  set_source_files_properties(src/backends/cuda/device.cpp PROPERTIES COMPILE_DEFINITIONS LADLE_GPU_IS_STANDIN)
  set(ladle_gpu_libraries ", CUDA stand-in (NOT A GPU)")

else()
  message(FATAL_ERROR "LADLE_GPU is ${LADLE_GPU}; it must be off, cuda or standin.")
endif()
