# The CUDA backend. ENGINE_CUDA is
#   AUTO  build it where the toolkit and cuDNN are found, and say what is missing where not
#   ON    require them
#   OFF   leave it out
#   HOST  compile the CUDA kernels for the CPU, to test them on a machine without a GPU (tests/host_runner); like OFF where
#         NVIDIA's headers are missing
# Sets ENGINE_CUDA_BACKEND to ON, OFF or HOST.
set(ENGINE_CUDA AUTO CACHE STRING "Build the CUDA backend: AUTO (where there is a toolkit), ON, OFF, HOST (on the CPU, for tests)")
set_property(CACHE ENGINE_CUDA PROPERTY STRINGS AUTO ON OFF HOST)
if(NOT ENGINE_CUDA MATCHES "^(AUTO|ON|OFF|HOST)$")
  message(FATAL_ERROR "ENGINE_CUDA=${ENGINE_CUDA}: expected AUTO, ON, OFF or HOST")
endif()

set(ENGINE_CUDA_BACKEND OFF)
set(engine_cuda_missing "")
if(NOT ENGINE_CUDA STREQUAL "OFF")
  find_program(ENGINE_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_PATH /usr/local/cuda/bin PATH_SUFFIXES bin)
  if(ENGINE_NVCC)
    find_package(CUDAToolkit 12.8)
    find_package(CUDNN)
  endif()
  if(NOT ENGINE_NVCC)
    set(engine_cuda_missing "no CUDA toolkit (nvcc) was found")
  elseif(NOT CUDAToolkit_FOUND)
    set(engine_cuda_missing "a CUDA toolkit of version 12.8 or newer is needed")
  elseif(NOT CUDNN_FOUND)
    set(engine_cuda_missing "cuDNN 9.8 or newer was not found; set CUDNN_ROOT to its folder")
  elseif(ENGINE_CUDA STREQUAL "HOST")
    set(ENGINE_CUDA_BACKEND HOST)
  else()
    set(ENGINE_CUDA_BACKEND ON)
  endif()
endif()

if(ENGINE_CUDA STREQUAL "ON" AND NOT ENGINE_CUDA_BACKEND)
  message(FATAL_ERROR "ENGINE_CUDA=ON: ${engine_cuda_missing}; or configure with ENGINE_CUDA=OFF")
elseif(ENGINE_CUDA_BACKEND STREQUAL "ON")
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${ENGINE_NVCC})
  endif()
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    if(EXISTS /dev/nvidiactl)
      set(CMAKE_CUDA_ARCHITECTURES native CACHE STRING "GPU architectures to compile for")
    else()
      set(CMAKE_CUDA_ARCHITECTURES 90a-real CACHE STRING "GPU architectures to compile for")
    endif()
  endif()
  # The same run-time library as CUDA::cudart below: two of them in one process do not see each other's state.
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
  enable_language(CUDA)
  # CMake 3.25 has no C++20 flag for nvcc and would silently compile C++17.
  if(CMAKE_CUDA_COMPILER_ID STREQUAL "NVIDIA" AND NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_COMPILE_FEATURES cuda_std_20)
    list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  message(STATUS "engine: building with CUDA ${CUDAToolkit_VERSION}, cuDNN ${CUDNN_VERSION}, for ${CMAKE_CUDA_ARCHITECTURES}")
elseif(ENGINE_CUDA_BACKEND STREQUAL "HOST")
  message(STATUS "engine: building the CUDA kernels for the CPU, for tests")
elseif(engine_cuda_missing)
  message(STATUS "engine: building for the CPU only: ${engine_cuda_missing}")
else()
  message(STATUS "engine: building for the CPU only (ENGINE_CUDA=OFF)")
endif()

# The headers of cuDNN's header library, which scripts/setup.sh fetches. There is one way to build, so that what runs is
# what was tested: without them the build stops.
if(ENGINE_CUDA_BACKEND)
  find_path(ENGINE_CUDNN_FRONTEND_INCLUDE cudnn_frontend.h PATHS ${PROJECT_SOURCE_DIR}/.cache/cudnn-frontend/include
    DOC "Folder of cudnn_frontend.h" NO_DEFAULT_PATH)
  if(NOT ENGINE_CUDNN_FRONTEND_INCLUDE)
    message(FATAL_ERROR "engine: the CUDA backend needs the headers of NVIDIA's cudnn-frontend; run scripts/setup.sh, or set "
      "ENGINE_CUDNN_FRONTEND_INCLUDE to their folder, or configure with ENGINE_CUDA=OFF")
  endif()
endif()

# Adds the CUDA twins of the kernels to `target`.
function(engine_add_cuda_kernels target)
  file(GLOB host_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cpp)
  file(GLOB device_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
  target_compile_definitions(${target} PUBLIC ENGINE_WITH_CUDA)
  target_link_libraries(${target} PRIVATE ${CMAKE_DL_LIBS})
  # A thin layer over cuDNN, which optimising makes slow to compile and no faster to run.
  set_source_files_properties(${PROJECT_SOURCE_DIR}/kernels/cuda/sdpa_graph.cpp PROPERTIES
    COMPILE_OPTIONS "-O0;-g0;-isystem;${ENGINE_CUDNN_FRONTEND_INCLUDE}")
  if(ENGINE_CUDA_BACKEND STREQUAL "ON")
    target_sources(${target} PRIVATE ${host_sources} ${device_sources})
    target_link_libraries(${target} PRIVATE CUDA::cudart CUDNN::cudnn)
    set_source_files_properties(${PROJECT_SOURCE_DIR}/kernels/cuda/cublaslt.cpp PROPERTIES
      COMPILE_DEFINITIONS "ENGINE_CUBLASLT_LIBRARY=\"libcublasLt.so.${CUDAToolkit_VERSION_MAJOR}\"")
    # constexpr functions of the standard library and of kernels/*.h are called from kernels; a kernel whose registers spill
    # into memory is a fault.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr
      -Xptxas=--warn-on-spills -Xptxas=--warning-as-error -lineinfo -Xcompiler=-Wall>)
    if(ENGINE_WERROR)
      target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings -Xcompiler=-Werror>)
    endif()
  else()
    set(runner ${PROJECT_SOURCE_DIR}/tests/host_runner)
    list(FILTER host_sources EXCLUDE REGEX "/(execute_[a-z_]*|cublaslt)\\.cpp$")
    file(GLOB runner_sources CONFIGURE_DEPENDS ${runner}/*.cpp ${PROJECT_SOURCE_DIR}/tests/fake_cuda/*.cpp)
    set_source_files_properties(${device_sources} PROPERTIES LANGUAGE CXX
      COMPILE_OPTIONS "-x;c++;-include;${runner}/host_runner.h;-Wno-unknown-pragmas" OBJECT_DEPENDS ${runner}/host_runner.h)
    target_sources(${target} PRIVATE ${host_sources} ${device_sources} ${runner_sources})
    target_include_directories(${target} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
    target_compile_definitions(${target} PRIVATE ENGINE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" PUBLIC ENGINE_CUDA_STAND_INS)
    target_link_libraries(${target} PRIVATE CUDNN::cudnn)
  endif()
endfunction()
