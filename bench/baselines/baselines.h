// The baselines of `hive bench`: what plain Linux and the plain machine do for the same purpose.
// Each returns nanoseconds for one operation, or a negative number when the host refuses.
#pragma once

#include <cstdint>

namespace baseline {

struct Arguments {
  int own_processor = -1;    // negative: wherever Linux wants
  int other_processor = -1;  // of the other process, where there is one
  std::int64_t count = 1000;
  std::int64_t size = 1;  // bytes, pages or elements
};

// Two processes, no kernel: each waits for the other's cache line.
double cache_lines(const Arguments& arguments);
// Two processes that sleep on an eventfd each.
double eventfds(const Arguments& arguments);
// The same, but who is asked hands the question to a second thread of its own, which answers.
double eventfds_queued(const Arguments& arguments);

double copy(const Arguments& arguments);       // memcpy of `size` bytes
double list_walk(const Arguments& arguments);  // of `size` elements of 64 bytes

// UFFDIO_WRITEPROTECT off and on, of `size` pages of another process.
double protect_pair(const Arguments& arguments);
// FALLOC_FL_PUNCH_HOLE of `size` pages that another process has mapped.
double punch(const Arguments& arguments);
// `size` pages allocated in a memfd, and punched out of it again.
double allocate(const Arguments& arguments);

// A store to a closed page, caught by a signal handler that steps over it.
double blocked_store(const Arguments& arguments);
// A touch of a block of 64 KiB that is not there, brought in by another process.
double page_fault(const Arguments& arguments);
// A touch of a block of 64 KiB of a mapped file that Linux has in its cache.
double file_fault(const Arguments& arguments);
// A page of one's own opened by another process, stored to, and closed by it.
double window(const Arguments& arguments);

// A value of 64 bytes behind a sequence lock, published and read; a record through a ring; a
// robust pthread mutex that nobody else wants; a pthread barrier of two threads. All in shared
// memory.
double publish(const Arguments& arguments);
double latest(const Arguments& arguments);
double ring(const Arguments& arguments);
double mutex(const Arguments& arguments);
double barrier(const Arguments& arguments);

// Files in Linux's cache, on the faster of tmpfs and the disk: 4 MiB read in calls of 64 KiB;
// 4 KiB at a random place; 4 MiB written to an empty file, on tmpfs; open and close; fstat.
double file_read(const Arguments& arguments);
double file_pread(const Arguments& arguments);
double file_write(const Arguments& arguments);
double file_open(const Arguments& arguments);
double file_stat(const Arguments& arguments);

double start_program(const Arguments& arguments);  // posix_spawn of /bin/true, and its end
double open_memory(const Arguments& arguments);    // shm_open, mmap, munmap, close

// From the SIGKILL of a process that has touched `size` MiB until its pidfd shows that it is dead.
double death(const Arguments& arguments);

}  // namespace baseline
