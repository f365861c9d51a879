/*
 * The votes on whether a cell that is still alive may be switched off, as docs/agreement.md has
 * them and src/cell/member/ballots.cpp does them. recovery.pml takes them for granted.
 * README.md says what is left out and why.
 *
 *   N          cells
 *   FAILURES   so many crashes and hangs, each at any moment
 *   WRONG      so many times a probe finds a sound cell guilty
 *   SLOW       a sound cell may also be too late to vote, or to contest; who is switched off then
 *              is not asked, but somebody is left all the same
 *   HANG_IN_LOCK  cells also hang while they hold the fence lock; nobody promises anything then
 *   TRACE, RUNS_MAX, UNCHECKED  as in recovery.pml
 *
 * As there, each step brings something forward; a run that has come to rest must have ended well.
 *
 * Mutations: MINORITY_DECIDES, NO_LOCK (whoever asks for the fence lock gets it at once),
 * CONDEMNED_DECIDES (a cell that was condemned itself may still decide).
 */
#ifndef N
#define N 3
#endif
#ifndef FAILURES
#define FAILURES 2
#endif
#ifndef WRONG
#define WRONG 0
#endif
#ifdef UNCHECKED
#define assert(condition) skip
#endif

#include "ballots_state.pml"

inline end_ballot(i, c) {
  is_open[AT(i, c)] = 0;
  is_old[AT(i, c)] = 0;
  asked[AT(i, c)] = 0
}

/* Ballots::evaluate. */
inline evaluate(i) {
  for (k : 0 .. N - 1) {
    if
    :: is_open[AT(i, k)] ->
       guilty = 0; innocent = 0; missing = 0; decided = 0; n = 0;
       for (j2 : 0 .. N - 1) {
         if
         :: j2 != k && LIVES(i, j2) ->
            n++;
            x = (j2 == i -> own[AT(i, k)] : votes[VOTE(i, k, j2)]);
            if
            :: BALLOT(x) != BALLOT(own[AT(i, k)]) || VERDICT(x) == 0 -> missing++
            :: else ->
               if
               :: VERDICT(x) == GUILTY || VERDICT(x) == DECIDED_GUILTY -> guilty++
               :: else -> innocent++
               fi;
               if
               :: VERDICT(x) == DECIDED_INNOCENT -> decided = DECIDED_INNOCENT
               :: VERDICT(x) == DECIDED_GUILTY && decided == 0 -> decided = DECIDED_GUILTY
               :: else
               fi
            fi
         :: else
         fi
       }
       if
       :: n == 1 && BALLOT(votes[VOTE(i, k, k)]) == BALLOT(own[AT(i, k)]) &&
          VERDICT(votes[VOTE(i, k, k)]) == DECIDED_INNOCENT -> decided = DECIDED_INNOCENT
       :: else
       fi;
       if
       :: decided == DECIDED_INNOCENT -> end_ballot(i, k)
       :: decided == DECIDED_GUILTY || decided == 0 && n > 1 && IS_MAJORITY ->
          condemns[AT(i, k)] = 1
       :: else ->
          if
          :: 2 * innocent > n -> end_ballot(i, k)
          :: 2 * innocent <= n && missing > 0 && !is_old[AT(i, k)] /* waits for them */
          :: else ->
             if
             :: innocent > 0 && innocent >= guilty -> end_ballot(i, k)
             :: else ->
                if
                :: (n > 1 || is_old[AT(i, k)]) && VERDICT(own[AT(i, k)]) != 0 &&
                   asked[AT(i, k)] == 0 && !IS_CONDEMNED(i) -> asked[AT(i, k)] = EPOCH(i)
                :: else
                fi
             fi
          fi
       fi
    :: else
    fi
  }
  /* Ballots::contest: two are left. */
  for (k : 0 .. N - 1) {
    if
    :: DEAD_COUNT(dead[i]) == N - 2 && k != i && LIVES(i, k) && asked[AT(i, i)] == 0 &&
       VERDICT(votes[VOTE(i, i, k)]) == GUILTY &&
       BALLOT(votes[VOTE(i, i, k)]) > BALLOT(own[AT(i, i)]) ->
       asked[AT(i, i)] = EPOCH(i);
       contested[i] = BALLOT(votes[VOTE(i, i, k)])
    :: else
    fi
  }
  guilty = 0; innocent = 0; missing = 0; decided = 0; n = 0; x = 0
}

inline open_ballot(i, c, opinion) {
  own[AT(i, c)] = opinion;
  is_open[AT(i, c)] = 1;
  is_old[AT(i, c)] = 0;
  asked[AT(i, c)] = 0
}

inline accuse(i, c) {
  largest = BALLOT(own[AT(i, c)]);
  for (j2 : 0 .. N - 1) {
    largest = (BALLOT(votes[VOTE(i, c, j2)]) > largest -> BALLOT(votes[VOTE(i, c, j2)]) : largest)
  }
  assert(largest < 31);
  largest = (largest + 1) * 8 + GUILTY;
  open_ballot(i, c, largest)
}

/* What was said about the former life, and by it, is forgotten. */
inline see_dead(i, c) {
  dead[i] = dead[i] | (1 << (c));
  own[AT(i, c)] = 0;
  end_ballot(i, c);
  probing[AT(i, c)] = 0;
  condemns[AT(i, c)] = 0;
  for (j2 : 0 .. N - 1) {
    votes[VOTE(i, c, j2)] = 0;
    votes[VOTE(i, j2, c)] = 0
  }
}

/* What j's board has that i does not know. */
#define DIFFERS(i, c, j) \
  (LIVES(i, c) && (!LIVES(j, c) || own[AT(j, c)] != votes[VOTE(i, c, j)]))
#define CAN_READ(i, j) (LIVES(i, j) && ANY(DIFFERS, i, j))

inline read(i, j) {
  for (k : 0 .. N - 1) {
    if
    :: LIVES(i, k) && LIVES(j, k) ->
       votes[VOTE(i, k, j)] = own[AT(j, k)];
       if
       :: k != i && k != j && BALLOT(own[AT(j, k)]) > BALLOT(own[AT(i, k)]) ->
          x = own[AT(j, k)] & ~7;
          open_ballot(i, k, x);
          if
          :: probing[AT(i, k)] == 0 -> probing[AT(i, k)] = (power[k] == RUNS -> 1 : 2)
          :: else
          fi
       :: else
       fi
    :: else
    fi
  }
  for (k : 0 .. N - 1) {
    if
    :: LIVES(i, k) && !LIVES(j, k) -> see_dead(i, k)
    :: else
    fi
  }
  evaluate(i);
  printf("@ read %d %d", i, j);
  RESULT(i)
}

inline give_verdict(i, c, verdict) {
  probing[AT(i, c)] = 0;
  if
  :: is_open[AT(i, c)] && VERDICT(own[AT(i, c)]) == 0 ->
     own[AT(i, c)] = own[AT(i, c)] + verdict
  :: !is_open[AT(i, c)] && verdict == GUILTY -> accuse(i, c)
  :: else
  fi;
  evaluate(i);
  printf("@ probed %d %d %d", i, c, verdict == GUILTY);
  RESULT(i)
}

#ifdef NO_LOCK
#define IS_FREE(epoch) true
#else
#define IS_FREE(epoch) (lock[epoch] == 0)
#endif

/* Reads all boards once more. */
inline take_lock(i, c) {
  holding[i] = (c) + 1;
  lock[asked[AT(i, c)]] = i + 1;
  for (largest : 0 .. N - 1) {
    if
    :: largest != i && CAN_READ(i, largest) -> read(i, largest)
    :: else
    fi
  }
  largest = 0
}

inline release(i) {
  for (k : 0 .. N) {
    lock[k] = (lock[k] == i + 1 -> 0 : lock[k])
  }
}

/* Somebody had the lock before, and decided. */
#define DECIDED_BY(i, j, c) \
  (VERDICT(votes[VOTE(i, c, j)]) >= DECIDED_INNOCENT && \
   BALLOT(votes[VOTE(i, c, j)]) == BALLOT(own[AT(i, c)]))
#define CONDEMNED_ON(i, j, ballot) \
  (votes[VOTE(i, i, j)] == (ballot) * 8 + DECIDED_GUILTY)

/* Ballots::on_fence. */
inline decide(i) {
  largest = holding[i] - 1;
  holding[i] = 0;
  release(i);
  if
  :: asked[AT(i, largest)] != 0 ->
     asked[AT(i, largest)] = 0;
     if
     :: largest == i && !ANY(CONDEMNED_ON, i, contested[i]) ->
        own[AT(i, i)] = contested[i] * 8 + DECIDED_INNOCENT
     :: largest != i && !ANY(DECIDED_BY, i, largest) && !IS_CONDEMNED(i) &&
        VERDICT(own[AT(i, largest)]) <= GUILTY ->
        own[AT(i, largest)] = own[AT(i, largest)] + 2
     :: else
     fi;
     x = largest;
     contested[i] = (x == i -> 0 : contested[i]);
     evaluate(i);
     printf("@ decide %d %d", i, largest);
     RESULT(i)
  :: else
  fi;
  largest = 0
}

/* Votes protect a sound cell as long as most of the cells are sound. */
inline check_switch_off(c) {
  for (k : 0 .. N - 1) {
    n = n + (power[k] != OFF);
    guilty = guilty + (power[k] == HANGS || power[k] == RUNS && was_wrong[k])
  }
#ifndef SLOW
  assert(power[c] != RUNS || 2 * guilty >= n);
#endif
  n = 0;
  guilty = 0
}

/* Held back until its judge turned out to hang: only then has it anything to ask for. */
#define STILL_CONDEMNED(i, j, unused) \
  (VERDICT(votes[VOTE(i, i, j)]) == DECIDED_GUILTY)
#ifdef CONDEMNED_DECIDES
#define COULD_ASK(i, c, unused) false
#else
#define COULD_ASK(i, c, unused) \
  (is_open[AT(i, c)] && is_old[AT(i, c)] && VERDICT(own[AT(i, c)]) == GUILTY && \
   asked[AT(i, c)] == 0 && holding[i] == 0 && !condemns[AT(i, c)] && \
   power[c] != OFF)
#endif

#define acts (power[_pid] == RUNS)
#define CAN_BE_WRONG(c) (wrong > 0 && power[c] == RUNS)

#define CELL_STEPS(c) \
  :: d_step { acts && (c) != _pid && CAN_READ(_pid, c) -> read(_pid, c) } \
  :: d_step { acts && (c) != _pid && LIVES(_pid, c) && power[c] == OFF -> \
              see_dead(_pid, c); evaluate(_pid); printf("@ look %d %d", _pid, c); RESULT(_pid) } \
  :: d_step { acts && (c) != _pid && LIVES(_pid, c) && !is_open[AT(_pid, c)] && \
              probing[AT(_pid, c)] == 0 && (power[c] == HANGS || CAN_BE_WRONG(c)) -> \
              BE_WRONG(c); accuse(_pid, c); evaluate(_pid); \
              printf("@ suspect %d %d", _pid, c); RESULT(_pid) } \
  :: d_step { acts && probing[AT(_pid, c)] != 0 && (power[c] != RUNS || CAN_BE_WRONG(c)) -> \
              BE_WRONG(c); give_verdict(_pid, c, GUILTY) } \
  :: d_step { acts && probing[AT(_pid, c)] != 0 && \
              (power[c] == RUNS || probing[AT(_pid, c)] == 1) -> \
              give_verdict(_pid, c, INNOCENT) } \
  :: d_step { acts && holding[_pid] == 0 && asked[AT(_pid, c)] != 0 && \
              IS_FREE(asked[AT(_pid, c)]) -> take_lock(_pid, c) } \
  :: d_step { acts && condemns[AT(_pid, c)] && power[c] != OFF && !doomed[c] -> \
              check_switch_off(c); doomed[c] = 1; \
              printf("@ switch %d %d", _pid, c); RESULT(_pid) }
#define BE_WRONG(c) \
  was_wrong[_pid] = was_wrong[_pid] | (power[c] == RUNS); wrong = wrong - (power[c] == RUNS)

#define IS_YOUNG(i, c, unused) (is_open[AT(i, c)] && !is_old[AT(i, c)])
#ifdef SLOW
#define IS_TIME(i) ANY(IS_YOUNG, i, 0)
#else
/* Voters that are sound have all spoken by then; if only the accused is left, so has that. */
#define IS_WAITED_FOR(i, j, c) \
  ((j) != (i) && LIVES(i, j) && power[j] == RUNS && \
   ((j) != (c) || DEAD_COUNT(dead[i]) == N - 2) && \
   (BALLOT(votes[VOTE(i, c, j)]) != BALLOT(own[AT(i, c)]) || VERDICT(votes[VOTE(i, c, j)]) == 0))
#if N == 4
#define WAITS(i, c, unused) \
  (IS_YOUNG(i, c, 0) && (IS_WAITED_FOR(i, 0, c) || IS_WAITED_FOR(i, 1, c) || \
                         IS_WAITED_FOR(i, 2, c) || IS_WAITED_FOR(i, 3, c)))
#else
#define WAITS(i, c, unused) \
  (IS_YOUNG(i, c, 0) && \
   (IS_WAITED_FOR(i, 0, c) || IS_WAITED_FOR(i, 1, c) || IS_WAITED_FOR(i, 2, c)))
#endif
#define IS_TIME(i) (ANY(IS_YOUNG, i, 0) && !ANY(WAITS, i, 0))
#endif

active [N] proctype cell() {
end:
  do
  CELL_STEPS(0)
  CELL_STEPS(1)
  CELL_STEPS(2)
#if N == 4
  CELL_STEPS(3)
#endif
  :: d_step { acts && holding[_pid] != 0 -> decide(_pid) }
  :: d_step { acts && ANY(COULD_ASK, _pid, 0) && ANY(STILL_CONDEMNED, _pid, 0) && 
              !IS_CONDEMNED(_pid) -> evaluate(_pid) }
  :: d_step { acts && IS_TIME(_pid) -> /* ballots become old */
       for (k : 0 .. N - 1) {
         is_old[AT(_pid, k)] = is_old[AT(_pid, k)] | is_open[AT(_pid, k)]
       }
       evaluate(_pid);
       printf("@ wait %d", _pid);
       RESULT(_pid) }
  od
}

#include "ballots_world.pml"
