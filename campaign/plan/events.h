// The events of the load's logs, as `TIME NAME ARGUMENTS`. H: home, I: incarnation of the home, K:
// kind of segment, W: writer of an area, P: page of the area, N: pages, R: round, C: code of an
// error, F: number of the fault that an audit belongs to.
//
//   windows    opening H I K P N R | opened ... | committing ... | committed ... | failed ... STEP
//   C
//              resetting H I K     | reset H I K          the whole area of the writer
//   errors     error OPERATION H I C CELL WRITER          a call that was refused; W -1: nobody's
//   torn       half H I K W P                             half stored, and no error for seconds
//   audits     page F H I K W P HASH|!C                   by everybody, while nobody writes
//              count F H I VALUE|!C      queue F H I DONE LEASED|!C
//              value F H I NUMBER|!C     old F H I C|ok   (a mapping of an incarnation that died)
//   scan       scan EPOCH H I K W P WI HASH|!C            of the areas of cell W, incarnation WI,
//   which
//                                                         is out of the live set now
//   counters   adding H I | added H I
//   mutexes    locking H I | locked H I | unlocking H I | unlocked H I | broken H I | mended H I
//              guarded H I LEFT RIGHT                     a pair that is not equal
//   queues     took H I ITEM | retired H I ITEM | taking H I
//   streams    publishing NUMBER | stream H I WHAT        WHAT: half, gap, back
//   witness    gap BEGIN END
//   vandal     aim CLASS ADDRESS | blocked CLASS ADDRESS | stored CLASS ADDRESS
//   workers    beat                                      every few milliseconds, whatever it is at
//   filers     fstoring H I P V | fstored H I P V         version V of a page of its file on H
//              fsyncing H I | fsynced H I
//              fnaming HOW NAME NAME | fnamed HOW NAME NAME done|refused
//              ferror OPERATION H I ERRNO                 H -1: of a name
//              fforeign W H P WORD VALUE                  of no version of that page
//              fpage F W H P LEAST MOST | fpage F W H !ERRNO    versions, as somebody sees them
//              fnames F W D MASK|!ERRNO                   what is in a directory
//              fold F H I ERRNO                           a descriptor from before the fault
//   all        begin LIFE CELL I | quiet F | go F | end
#pragma once

namespace hive::campaign::event {

inline constexpr const char* opening = "opening";
inline constexpr const char* opened = "opened";
inline constexpr const char* committing = "committing";
inline constexpr const char* committed = "committed";
inline constexpr const char* failed = "failed";
inline constexpr const char* resetting = "resetting";
inline constexpr const char* reset = "reset";
inline constexpr const char* error = "error";
inline constexpr const char* half = "half";
inline constexpr const char* page = "page";
inline constexpr const char* count = "count";
inline constexpr const char* queue = "queue";
inline constexpr const char* value = "value";
inline constexpr const char* old = "old";
inline constexpr const char* scan = "scan";
inline constexpr const char* adding = "adding";
inline constexpr const char* added = "added";
inline constexpr const char* locking = "locking";
inline constexpr const char* locked = "locked";
inline constexpr const char* unlocking = "unlocking";
inline constexpr const char* unlocked = "unlocked";
inline constexpr const char* broken = "broken";
inline constexpr const char* mended = "mended";
inline constexpr const char* guarded = "guarded";
inline constexpr const char* taking = "taking";
inline constexpr const char* took = "took";
inline constexpr const char* retired = "retired";
inline constexpr const char* publishing = "publishing";
inline constexpr const char* stream = "stream";
inline constexpr const char* gap = "gap";
inline constexpr const char* aim = "aim";
inline constexpr const char* blocked = "blocked";
inline constexpr const char* stored = "stored";
inline constexpr const char* beat = "beat";
inline constexpr const char* storing = "fstoring";
inline constexpr const char* stored_page = "fstored";
inline constexpr const char* syncing = "fsyncing";
inline constexpr const char* synced = "fsynced";
inline constexpr const char* naming = "fnaming";
inline constexpr const char* named = "fnamed";
inline constexpr const char* file_error = "ferror";
inline constexpr const char* foreign = "fforeign";
inline constexpr const char* file_page = "fpage";
inline constexpr const char* names = "fnames";
inline constexpr const char* old_file = "fold";
inline constexpr const char* begin = "begin";
inline constexpr const char* quiet = "quiet";
inline constexpr const char* go = "go";
inline constexpr const char* end = "end";

}  // namespace hive::campaign::event
