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
 * Mutations: MINORITY_DECIDES, NO_CONTEST (the accused does not defend itself), CONDEMNED_DECIDES
 * (it decides about others although it was voted out).
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

inline forget_ballot(i, c) {
  is_open[AT(i, c)] = 0;
  is_old[AT(i, c)] = 0;
  disputed[AT(i, c)] = 0;
  asked[AT(i, c)] = 0
}

inline close_down(i, c) {
  forget_ballot(i, c);
  own[AT(i, c)] = own[AT(i, c)] | 8
}

/* Ballots::count. */
inline count(i, c, ballot) {
  guilty = 0; innocent = 0; missing = 0; decided = 0; n = 0;
  for (j2 : 0 .. N - 1) {
    if
    :: j2 != c && LIVES(i, j2) ->
       n++;
       x = (j2 == i -> own[AT(i, c)] : votes[VOTE(i, c, j2)]);
       if
       :: BALLOT(x) != ballot || VERDICT(x) == 0 -> missing++
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
}

#define IS_DEFENDED(i, c) \
  (BALLOT(votes[VOTE(i, c, c)]) == BALLOT(own[AT(i, c)]) && \
   VERDICT(votes[VOTE(i, c, c)]) == DECIDED_INNOCENT)

/* Ballots::evaluate_one. */
inline evaluate_one(i, c) {
  count(i, c, BALLOT(own[AT(i, c)]));
  if
  :: decided == DECIDED_INNOCENT -> close_down(i, c)
  :: decided == DECIDED_GUILTY || decided == 0 && n > 1 && IS_MAJORITY -> condemns[AT(i, c)] = 1
  :: else ->
     if
     :: 2 * innocent > n || IS_DEFENDED(i, c) && (n == 1 || is_old[AT(i, c)]) -> close_down(i, c)
     :: else ->
        if
        :: missing > 0 && !is_old[AT(i, c)] /* waits for them */
        :: else ->
           if
           :: innocent > 0 && innocent >= guilty -> close_down(i, c)
           :: else ->
              disputed[AT(i, c)] = (disputed[AT(i, c)] == 0 -> 1 : disputed[AT(i, c)]);
              asked[AT(i, c)] = asked[AT(i, c)] |
                                (disputed[AT(i, c)] == 2 && VERDICT(own[AT(i, c)]) != 0)
           fi
        fi
     fi
  fi
}

/* The largest ballot on c that i knows. */
inline find_largest(i, c) {
  largest = BALLOT(own[AT(i, c)]);
  for (j2 : 0 .. N - 1) {
    x = votes[VOTE(i, c, j2)];
    largest = (BALLOT(x) > largest -> BALLOT(x) : largest)
  }
}

#ifdef NO_CONTEST
#define MAY_CONTEST false
#else
#define MAY_CONTEST true
#endif

/* Ballots::contest. */
inline contest(i) {
  find_largest(i, i);
  if
  :: largest > BALLOT(own[AT(i, i)]) && !asked[AT(i, i)] ->
     count(i, i, largest);
     if
     :: MAY_CONTEST && guilty > 0 && decided == 0 &&
        (n == 1 || 2 * guilty <= n && missing > 0 && is_old[AT(i, i)]) ->
        asked[AT(i, i)] = 1;
        contested[i] = largest
     :: else
     fi
  :: else
  fi
}

/* Ballots::evaluate. */
inline evaluate(i) {
  for (k : 0 .. N - 1) {
    if
    :: is_open[AT(i, k)] -> evaluate_one(i, k)
    :: else
    fi
  }
  contest(i);
  guilty = 0; innocent = 0; missing = 0; decided = 0; n = 0; x = 0
}

inline open_ballot(i, c, opinion) {
  own[AT(i, c)] = opinion;
  is_open[AT(i, c)] = 1;
  is_old[AT(i, c)] = 0;
  disputed[AT(i, c)] = 0;
  asked[AT(i, c)] = 0
}

inline accuse(i, c) {
  find_largest(i, c);
  assert(largest < 15);
  largest = (largest + 1) * 16 + GUILTY;
  open_ballot(i, c, largest)
}

/* What was said about the former life, and by it, is forgotten. */
inline see_dead(i, c) {
  dead[i] = dead[i] | (1 << (c));
  own[AT(i, c)] = 0;
  forget_ballot(i, c);
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
       find_largest(i, k);
       is_old[AT(i, k)] = is_old[AT(i, k)] &
                          !(k == i && BALLOT(own[AT(j, k)]) > largest);
       votes[VOTE(i, k, j)] = own[AT(j, k)];
       if
       :: k != i && k != j && BALLOT(own[AT(j, k)]) > BALLOT(own[AT(i, k)]) &&
          !IS_CLOSED(own[AT(j, k)]) ->
          x = BALLOT(own[AT(j, k)]) * 16;
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

/* Reads all boards once more. */
inline take_lock(i, c) {
  holding[i] = (c) + 1;
  lock = i + 1;
  for (from : 0 .. N - 1) {
    if
    :: from != i && CAN_READ(i, from) -> read(i, from)
    :: else
    fi
  }
  from = 0
}

inline release(i) {
  lock = (lock == i + 1 -> 0 : lock)
}

/* Somebody had the lock before, and decided. */
#define DECIDED_BY(i, j, c) \
  (VERDICT(votes[VOTE(i, c, j)]) >= DECIDED_INNOCENT && \
   BALLOT(votes[VOTE(i, c, j)]) == BALLOT(own[AT(i, c)]))
/* Ballots::is_condemned: after a count of the latest ballot on itself. */
#ifdef CONDEMNED_DECIDES
#define IS_CONDEMNED false
#else
#define IS_CONDEMNED \
  (decided == DECIDED_GUILTY || decided == 0 && n > 1 && 2 * guilty > n)
#endif

/* Ballots::on_fence. */
inline decide(i) {
  from = holding[i] - 1;
  holding[i] = 0;
  release(i);
  if
  :: asked[AT(i, from)] ->
     asked[AT(i, from)] = 0;
     find_largest(i, i);
     count(i, i, largest);
     if
     :: IS_CONDEMNED
     :: !IS_CONDEMNED && from == i -> own[AT(i, i)] = contested[i] * 16 + DECIDED_INNOCENT
     :: !IS_CONDEMNED && from != i && !ANY(DECIDED_BY, i, from) && VERDICT(own[AT(i, from)]) <= GUILTY ->
        own[AT(i, from)] = own[AT(i, from)] + 2
     :: else
     fi;
     contested[i] = (from == i -> 0 : contested[i]);
     evaluate(i);
     printf("@ decide %d %d", i, from);
     RESULT(i)
  :: else
  fi;
  from = 0
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
  :: d_step { acts && holding[_pid] == 0 && asked[AT(_pid, c)] && lock == 0 -> \
              take_lock(_pid, c) } \
  :: d_step { acts && condemns[AT(_pid, c)] && power[c] != OFF && !doomed[c] -> \
              check_switch_off(c); doomed[c] = 1; \
              printf("@ switch %d %d", _pid, c); RESULT(_pid) }
#define BE_WRONG(c) \
  was_wrong[_pid] = was_wrong[_pid] | (power[c] == RUNS); wrong = wrong - (power[c] == RUNS)

/* What can become old: ballots, disputes, what others say about i. */
#define IS_ACCUSED_BY(i, j, unused) (BALLOT(votes[VOTE(i, i, j)]) > BALLOT(own[AT(i, i)]))
#define IS_YOUNG(i, c, unused) \
  (is_open[AT(i, c)] && (!is_old[AT(i, c)] || disputed[AT(i, c)] == 1))
#define ANY_YOUNG(i) \
  (ANY(IS_YOUNG, i, 0) || !is_old[AT(i, i)] && ANY(IS_ACCUSED_BY, i, 0))
#ifdef SLOW
#define IS_TIME(i) ANY_YOUNG(i)
#else
/* Voters that are sound have all spoken by then; so has the accused, once it is disputed. */
#define IS_WAITED_FOR(i, j, c) \
  ((j) != (i) && LIVES(i, j) && power[j] == RUNS && \
   ((j) != (c) || MAY_CONTEST && disputed[AT(i, c)] == 1) && \
   (BALLOT(votes[VOTE(i, c, j)]) != BALLOT(own[AT(i, c)]) || \
    (votes[VOTE(i, c, j)] & 15) == 0))
#if N == 4
#define WAITS(i, c, unused) \
  (IS_YOUNG(i, c, 0) && (IS_WAITED_FOR(i, 0, c) || IS_WAITED_FOR(i, 1, c) || \
                         IS_WAITED_FOR(i, 2, c) || IS_WAITED_FOR(i, 3, c)))
#else
#define WAITS(i, c, unused) \
  (IS_YOUNG(i, c, 0) && \
   (IS_WAITED_FOR(i, 0, c) || IS_WAITED_FOR(i, 1, c) || IS_WAITED_FOR(i, 2, c)))
#endif
#define IS_TIME(i) (ANY_YOUNG(i) && !ANY(WAITS, i, 0))
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
  :: d_step { acts && IS_TIME(_pid) -> /* ballots become old */
       for (k : 0 .. N - 1) {
         is_old[AT(_pid, k)] = is_old[AT(_pid, k)] | is_open[AT(_pid, k)];
         disputed[AT(_pid, k)] = (disputed[AT(_pid, k)] == 1 -> 2 : disputed[AT(_pid, k)])
       }
       is_old[AT(_pid, _pid)] = is_old[AT(_pid, _pid)] | ANY(IS_ACCUSED_BY, _pid, 0);
       evaluate(_pid);
       printf("@ wait %d", _pid);
       RESULT(_pid) }
  od
}

#include "ballots_world.pml"
