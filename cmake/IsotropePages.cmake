# generated/isotrope_pages.cpp: the sources of web/ and uPlot, inside the library, so that the program needs no file beside itself.
set(ISOTROPE_UPLOT ${CMAKE_SOURCE_DIR}/node_modules/uplot/dist CACHE PATH "Folder with uPlot.iife.min.js and uPlot.min.css of uPlot 1.6 (the dist folder of npm's package)")
if(NOT EXISTS ${ISOTROPE_UPLOT}/uPlot.iife.min.js OR NOT EXISTS ${ISOTROPE_UPLOT}/uPlot.min.css)
  message(FATAL_ERROR "uPlot, which draws the page's charts, was not found in ${ISOTROPE_UPLOT}. `./dev setup` gets it by npm; "
                      "or unpack `npm pack uplot@1.6.32` and set ISOTROPE_UPLOT to its folder package/dist.")
endif()

file(GLOB page_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/*.html ${CMAKE_SOURCE_DIR}/web/*.css ${CMAKE_SOURCE_DIR}/web/*.js ${CMAKE_SOURCE_DIR}/web/*.svg)
list(APPEND page_files ${ISOTROPE_UPLOT}/uPlot.iife.min.js ${ISOTROPE_UPLOT}/uPlot.min.css)
set(ISOTROPE_PAGES_SOURCE ${CMAKE_BINARY_DIR}/generated/isotrope_pages.cpp)
add_custom_command(OUTPUT ${ISOTROPE_PAGES_SOURCE}
                   COMMAND ${CMAKE_COMMAND} "-DFILES=${page_files}" -DOUTPUT=${ISOTROPE_PAGES_SOURCE} -P ${CMAKE_CURRENT_LIST_DIR}/embed.cmake
                   DEPENDS ${page_files} ${CMAKE_CURRENT_LIST_DIR}/embed.cmake COMMENT "Embedding the page" VERBATIM)
