// What a fault costs on plain Linux: caught and stepped over, or served by another process.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <new>
#include <vector>

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "baselines.h"
#include "fenced.h"
#include "process.h"
#include "timing.h"

namespace baseline {
namespace {

constexpr std::uint64_t block_pages = 16;  // 64 KiB
constexpr greg_t store_bytes = 3;          // length of the instruction in store()

void store(volatile std::uint8_t* where) {
  asm volatile("movb $1, (%%rdi)" : : "D"(where) : "memory");
}

void step_over(int, siginfo_t*, void* context) {
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += store_bytes;
}

void handle(void (*handler)(int, siginfo_t*, void*)) {
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  ::sigaction(SIGBUS, &action, nullptr);
}

struct Service {
  int wanted = ::eventfd(0, EFD_CLOEXEC);
  int given = ::eventfd(0, EFD_CLOEXEC);
  std::atomic<std::uint64_t> address{0};
};
Service* service = nullptr;

void ask_for_block(int, siginfo_t* info, void*) {
  service->address.store(reinterpret_cast<std::uint64_t>(info->si_addr),
                         std::memory_order_release);
  std::uint64_t word = 1;
  if (::write(service->wanted, &word, sizeof word) != sizeof word ||
      ::read(service->given, &word, sizeof word) != sizeof word) {
    ::_exit(1);
  }
}

void serve_blocks(const Fenced& fenced) {
  const auto begin = reinterpret_cast<std::uint64_t>(fenced.page(0));
  for (std::uint64_t word = 0; ::read(service->wanted, &word, sizeof word) == sizeof word;) {
    const std::uint64_t page =
        (service->address.load(std::memory_order_acquire) - begin) / page_bytes;
    if (!fenced.give(page / block_pages * block_pages, block_pages)) ::_exit(1);
    word = 1;
    if (::write(service->given, &word, sizeof word) != sizeof word) ::_exit(1);
  }
}

}  // namespace

double blocked_store(const Arguments& arguments) {
  const Fenced fenced(1);
  if (!fenced.made() || !fenced.give(0, 1)) return -1;
  handle(step_over);
  run_on(arguments.own_processor);
  return median_batch_ns(arguments.count, [&] { store(fenced.page(0)); });
}

double page_fault(const Arguments& arguments) {
  const Fenced fenced(static_cast<std::uint64_t>(arguments.count) * block_pages);
  service = shared_memory<Service>();
  if (!fenced.made() || service == nullptr) return -1;
  const OtherProcess other(arguments.other_processor, [&] { serve_blocks(fenced); });
  if (!other.started()) return -1;
  handle(ask_for_block);
  run_on(arguments.own_processor);
  std::vector<double> figures;
  for (std::int64_t i = 0; i < arguments.count; ++i) {
    const double begin = now_ns();
    [[maybe_unused]] const std::uint8_t byte =
        *fenced.page(static_cast<std::uint64_t>(i) * block_pages);
    figures.push_back(now_ns() - begin);
  }
  return median_of(std::move(figures));
}

double file_fault(const Arguments& arguments) {
  const auto bytes = static_cast<std::size_t>(arguments.count) * block_pages * page_bytes;
  std::FILE* const file = std::tmpfile();
  if (file == nullptr) return -1;
  const std::vector<char> content(bytes, 1);
  void* memory = MAP_FAILED;
  if (std::fwrite(content.data(), 1, bytes, file) == bytes && std::fflush(file) == 0) {
    memory = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, ::fileno(file), 0);
  }
  std::fclose(file);
  if (memory == MAP_FAILED) return -1;
  run_on(arguments.own_processor);
  std::vector<double> figures;
  for (std::size_t at = 0; at < bytes; at += block_pages * page_bytes) {
    const double begin = now_ns();
    [[maybe_unused]] const char byte = static_cast<const volatile char*>(memory)[at];
    figures.push_back(now_ns() - begin);
  }
  ::munmap(memory, bytes);
  return median_of(std::move(figures));
}

}  // namespace baseline
