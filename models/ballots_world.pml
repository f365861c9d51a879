/* Part of ballots.pml: what befalls the cells, and how a run ends. */
/* It will not act any more; its board can still be read until it is seen off. */
inline stop(c) {
  for (k : 0 .. N - 1) {
    is_open[AT(c, k)] = 0;
    is_old[AT(c, k)] = 0;
    disputed[AT(c, k)] = 0;
    probing[AT(c, k)] = 0;
    asked[AT(c, k)] = 0;
    condemns[AT(c, k)] = 0;
    for (j2 : 0 .. N - 1) {
      votes[VOTE(c, k, j2)] = 0
    }
  }
  contested[c] = 0;
  if
  :: power[c] == OFF -> doomed[c] = 0; holding[c] = 0; release(c)
  :: else
  fi
}

#ifdef TRACE
bit waits;
#ifndef RUNS_MAX
#define RUNS_MAX 1
#endif
byte runs = RUNS_MAX;
#define MAY_FAIL(c) (waits == 0 && failures > 0 && power[c] == RUNS)
#define WAIT_AGAIN waits = 1
inline begin_again() {
  printf("@ end\n");
  runs--;
  for (n : 0 .. N - 1) {
    power[n] = OFF;
    stop(n);
    power[n] = RUNS;
    was_wrong[n] = 0;
    dead[n] = 0;
    for (k : 0 .. N - 1) {
      own[AT(n, k)] = 0
    }
  }
  excused = 0;
  failures = FAILURES;
  wrong = WRONG;
  waits = 1;
  n = 0;
  printf("@ ballots %d\n", N)
}
#else
/* The cells are all alike: those that fail first have the highest numbers. */
#define MAY_FAIL(c) \
  (failures > 0 && power[c] == RUNS && (c) == N - 1 - (FAILURES - failures))
#define WAIT_AGAIN skip
#endif
#ifdef HANG_IN_LOCK
#define MAY_HANG(c) true
#else
#define MAY_HANG(c) (holding[c] == 0)
#endif

inline excuse() {
  excused = 1;
  for (k : 0 .. N - 1) {
    excused = excused & (power[k] != RUNS || doomed[k])
  }
}

#define WORLD_STEPS(c) \
  :: d_step { doomed[c] -> power[c] = OFF; stop(c); printf("@ off %d\n", c) } \
  :: d_step { MAY_FAIL(c) -> \
              failures--; power[c] = OFF; excuse(); stop(c); WAIT_AGAIN; \
              printf("@ off %d\n", c) } \
  :: d_step { MAY_FAIL(c) && MAY_HANG(c) -> \
              failures--; power[c] = HANGS; excuse(); stop(c); WAIT_AGAIN; \
              printf("@ hang %d\n", c) }

/* Whoever hangs was switched off, if anybody is there, and that is known. The votes
   have left somebody. */
inline check_end() {
  for (k : 0 .. N - 1) {
    n = n + (power[k] == RUNS);
    for (j2 : 0 .. N - 1) {
      assert(power[k] != RUNS || power[j2] != HANGS);
      assert(power[k] != RUNS || LIVES(k, j2) == (power[j2] != OFF))
    }
  }
  assert(n > 0 || excused);
  n = 0
}

active proctype world() {
end:
  do
  WORLD_STEPS(0)
  WORLD_STEPS(1)
  WORLD_STEPS(2)
#if N == 4
  WORLD_STEPS(3)
#endif
#ifdef TRACE
  :: waits -> skip
  :: waits -> skip
  :: waits -> skip
  :: waits -> waits = 0
  :: timeout && runs > 0 -> d_step { check_end(); begin_again() }
#else
  :: timeout -> d_step { check_end() }; break
#endif
  od
}
