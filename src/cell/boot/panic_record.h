// The last words of a kernel: why it died, in a page of a file of its own that outlives the node.
//
// The page is mapped at boot, so that writing the record is a handful of plain stores: no
// allocation and no system call on the way out. Installs the kernel's fault handler: a fault in a
// careful copy goes to its error exit; any other fatal signal writes the record, marks the
// lifelines (a core dump would take seconds), and then lets the kernel die of the signal.
#pragma once

#include <string>

#include <hive/error.h>
#include "cell/boot/config.h"
#include "machine/node_header.h"

namespace hive::cell {

// Creates and maps the record of this kernel, and sets the panic handler and signal handlers.
// `own` may be null until the node's memory is there; tell_panic_header() follows then.
Result<void> install_panic_record(const Config& config);
void tell_panic_header(machine::NodeHeader* own);

// The record of a cell as text, empty when it has left none. Any process that can read the file.
std::string read_panic_record(const std::string& path);

}  // namespace hive::cell
