# cmake --install, and find_package(engine) for the program that uses the installed libraries.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/engine)
foreach(folder kernels engine layers io train)
  install(DIRECTORY ${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/engine-${PROJECT_VERSION}
    FILES_MATCHING PATTERN "*.h" PATTERN "kernels/cpu" EXCLUDE PATTERN "kernels/cuda" EXCLUDE PATTERN "programs" EXCLUDE)
endforeach()
install(EXPORT engine_targets NAMESPACE engine:: DESTINATION ${package_dir})
configure_package_config_file(cmake/engine-config.cmake.in engine-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(engine-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/engine-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/engine-config-version.cmake
  third_party/cmake/FindDNNL.cmake third_party/cmake/FindFFmpeg.cmake third_party/cmake/FindTurboJPEG.cmake
  third_party/cmake/FindCUDNN.cmake DESTINATION ${package_dir})
