# What a Debian package has otherwise than an installation by hand: changelog and copyright for each
# package, and the directory where Debian's zsh looks.
foreach(entry IN LISTS CPACK_HIVE_DOCUMENTED)
  string(REPLACE ":" ";" entry "${entry}")
  list(GET entry 0 component)
  list(GET entry 1 package)
  set(share ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${component}${CPACK_PACKAGING_INSTALL_PREFIX}/share)
  set(doc ${share}/doc/${package})
  file(REMOVE ${doc}/LICENSE)  # `copyright` says where Debian has it
  file(COPY ${CPACK_HIVE_DEBIAN_DIR}/copyright ${CPACK_HIVE_DEBIAN_DIR}/changelog
    DESTINATION ${doc} FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  execute_process(COMMAND gzip -9nf ${doc}/changelog COMMAND_ERROR_IS_FATAL ANY)
  if(EXISTS ${share}/zsh/site-functions)
    file(RENAME ${share}/zsh/site-functions ${share}/zsh/vendor-completions)
  endif()
endforeach()
