#include "lib/fault_report.h"

#include <string_view>

#include "lib/session_impl.h"
#include "lib/signal_text.h"

namespace hive::lib {
namespace {

// What kind of memory the fault was about.
std::string_view place(Code code) {
  switch (code) {
    case Code::refused:
      return " a closed page of cell ";
    case Code::lost:
      return " a lost page of cell ";
    case Code::cell_down:
      return " memory of the failed cell ";
    default:
      return " a page of cell ";
  }
}

}  // namespace

void report_fault(SessionImpl& session, const Fault& fault, const Error& why) noexcept {
  const Membership& membership = session.membership();
  const auto unsigned_of = [](CellId cell) { return static_cast<std::uint64_t>(cell); };
  SignalText line;
  line.add("hive: task ").decimal(membership.task);
  line.add(" (cell ").decimal(unsigned_of(membership.cell)).add("): ");
  line.add(fault.is_store ? "store to" : "load from");
  if (session.views().is_view(fault.address)) {
    line.add(" mapped memory");
  } else {
    line.add(place(why.code));
    line.decimal(unsigned_of(membership.layout.node_of(fault.address)));
  }
  line.add(" at ").hex(fault.address);
  const SegmentNames::Name name = session.names().find(fault.address);
  if (name[0] != 0) line.add(", segment \"").add(name.data()).add("\"");
  line.add(", instruction ").hex(fault.instruction).add(": ").add(why.cause);
  line.print();
}

}  // namespace hive::lib
