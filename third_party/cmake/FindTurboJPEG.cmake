# The simple interface of libjpeg-turbo. Defines TurboJPEG::TurboJPEG.
find_path(TURBOJPEG_INCLUDE_DIR NAMES turbojpeg.h)
find_library(TURBOJPEG_LIBRARY NAMES turbojpeg)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TurboJPEG REQUIRED_VARS TURBOJPEG_INCLUDE_DIR TURBOJPEG_LIBRARY
  REASON_FAILURE_MESSAGE "install the Debian package libturbojpeg0-dev")
if(TurboJPEG_FOUND AND NOT TARGET TurboJPEG::TurboJPEG)
  add_library(TurboJPEG::TurboJPEG INTERFACE IMPORTED)
  target_include_directories(TurboJPEG::TurboJPEG SYSTEM INTERFACE ${TURBOJPEG_INCLUDE_DIR})
  target_link_libraries(TurboJPEG::TurboJPEG INTERFACE ${TURBOJPEG_LIBRARY})
endif()
mark_as_advanced(TURBOJPEG_INCLUDE_DIR TURBOJPEG_LIBRARY)
