# Debian packages: `cpack -G DEB` in the build directory makes hive, libhive0 and libhive-dev.
set(CPACK_PACKAGE_CONTACT "The Hive maintainers <maintainers@hive.example>")
set(CPACK_PACKAGE_VENDOR "Hive")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
# Whatever the umask of who builds it.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL command library development)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(library_package libhive${HIVE_SOVERSION})
set(about "
Hive runs programs on a machine made of cells: small kernels in processes of
their own. Tasks on different cells share memory at the speed of memory, but
when a cell dies only the tasks that were using it are lost.

This package has")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # each has its own, as its first line

set(CPACK_DEBIAN_COMMAND_PACKAGE_NAME hive)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_COMMAND_DESCRIPTION
  "machine of cells that share memory, but not fate${about} the command, which boots machines and runs programs on them.")

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME ${library_package})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SUGGESTS hive)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/triggers)
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION
  "shared memory with fault containment (library)${about} the library, with which a program becomes a task of a cell.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libhive-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
  "${library_package} (= ${PROJECT_VERSION}), libexpected-dev")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "hive, pkg-config")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION
  "shared memory with fault containment (headers)${about} what is needed to build programs with the library.")

# Runs between the installation into a staging directory and the making of packages.
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/stage.cmake)
set(CPACK_HIVE_DEBIAN_DIR ${CMAKE_CURRENT_LIST_DIR})
set(CPACK_HIVE_DOCUMENTED "command:hive;library:${library_package};development:libhive-dev")
include(CPack)
