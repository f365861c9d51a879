/* Part of recovery.pml: what befalls the cells, and how a run ends. */
/* Without joins the cells are all alike: it does not matter which ones fail. */
#if JOINS || defined(TRACE)
#define MAY_FAIL(x) true
#else
#define MAY_FAIL(x) ((x) == N - 1 - (FAILURES - failures))
#endif
#ifdef TRACE
bit waits;
#ifndef RUNS_MAX
#define RUNS_MAX 1
#endif
byte runs = RUNS_MAX;
#define IS_TIME (waits == 0)
#else
#define IS_TIME true
#endif

#ifdef LIES
#define LIE(x, y) \
  :: d_step { IS_TIME && failures > 0 && power[x] == RUNS && (x) != (y) && MAY_FAIL(x) -> \
              failures--; lies[x] = 1; victim[x] = y }
#define LIES_OF(x) LIE(x, 0) LIE(x, 1) LIE(x, N - 2) LIE(x, N - 1)
#else
#define LIES_OF(x)
#endif

#define FAILURES_OF(x) \
  :: d_step { IS_TIME && failures > 0 && power[x] == RUNS && MAY_FAIL(x) -> \
              failures--; power[x] = OFF; forget_node(x); WAIT_AGAIN; \
              SAY_WORLD("@ off %d\n", x) } \
  :: d_step { IS_TIME && failures > 0 && power[x] == RUNS && MAY_FAIL(x) -> \
              failures--; power[x] = HANGS; forget_node(x); WAIT_AGAIN; \
              SAY_WORLD("@ hang %d\n", x) } \
  LIES_OF(x) \
  REBOOT(x)

#if JOINS
#define ASKS_FOR(i, x, p) \
  (power[i] == RUNS && phase[i] == SETTLED && LOWEST(view[i]) == (i) && !LIVE(view[i], x))
#define NOT_ASKED_FOR(i, x, p) (!ASKS_FOR(x, i, p))
#define REBOOT(x) \
  :: d_step { joins > 0 && power[x] == OFF && !EVERY(NOT_ASKED_FOR, x, 0) -> \
              reboot(x); SAY_WORLD("@ reboot %d\n", x) } \
  :: d_step { power[x] == HANGS && phase[x] == JOINING -> /* the monitor's work */ \
              power[x] = OFF; forget_node(x); SAY_WORLD("@ off %d\n", x) }
inline reboot(x) {
  joins--;
  incarnation[x]++;
  power[x] = RUNS;
  view[x] = 0;
  round_view[x] = 0;
  phase[x] = JOINING;
  for (k : 0 .. N - 1) {
    attached[AT(x, k)] = 0;
    unreachable[AT(x, k)] = 0
  }
  attached[AT(x, x)] = incarnation[x]
}
#else
#define REBOOT(x)
#endif

/* At rest, with all failures over: whoever runs has settled, the same and the truth. */
inline check_end() {
  for (k : 0 .. N - 1) {
    assert(power[k] != HANGS);
    assert(power[k] != RUNS || phase[k] == SETTLED);
    for (d : 0 .. N - 1) {
      assert(power[k] != RUNS || LIVE(view[k], d) == (power[d] == RUNS));
      assert(power[k] != RUNS || power[d] != RUNS || view[k] == view[d])
    }
  }
}

#ifdef TRACE
/* Any number of failures up to the greatest, at any time. */
#define WAIT_AGAIN waits = 1
inline begin_again() {
  printf("@ end\n");
  runs--;
  for (k : 0 .. N - 1) {
    power[k] = RUNS;
    incarnation[k] = 1;
    view[k] = ALL_ALIVE;
    round_view[k] = ALL_ALIVE;
    phase[k] = SETTLED;
    for (d : 0 .. N - 1) {
      seen_view[AT(k, d)] = 0;
      seen_phase[AT(k, d)] = JOINING;
      holds[AT(k, d)] = 2;
#if JOINS
      attached[AT(k, d)] = 1;
      unreachable[AT(k, d)] = 0
#endif
    }
  }
  for (k : 0 .. FAILURES + JOINS + 1) {
    live_set[k] = 0
  }
  failures = FAILURES;
  joins = JOINS;
  waits = 1
}
#else
#define WAIT_AGAIN skip
#endif

active proctype world() {
end:
  do
  FAILURES_OF(0)
  FAILURES_OF(1)
  FAILURES_OF(2)
#if N == 4
  FAILURES_OF(3)
#endif
#ifdef TRACE
  :: waits -> skip
  :: waits -> skip
  :: waits -> skip
  :: waits -> skip
  :: waits -> waits = 0
#endif
#ifdef TRACE
  :: timeout && runs > 0 -> d_step { check_end(); begin_again(); SAY_WORLD("@ start %d\n", N) }
#else
  :: timeout -> d_step { check_end(); skip }; break
#endif
  od
}
