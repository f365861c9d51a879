/*
 * Agreement on the live set and recovery with its two barriers, as docs/agreement.md has them and
 * src/cell/member/member_core.cpp does them. README.md says what is left out and why.
 *
 *   N          cells
 *   FAILURES   so many crashes and hangs, each at any moment
 *   JOINS      so many nodes are started anew and taken in
 *   LIES       a failure may also be a board that shows a sound node dead
 *   TRACE      for simulation: RUNS_MAX runs, failures at random times, each step is printed
 *   UNCHECKED  assertions do nothing: for traces of mutations
 *
 * A run that has come to rest must have ended well (check_end), and no run may go on for ever:
 * every step brings something forward, so there must be no cycle. Together that is more than
 * liveness under weak fairness.
 *
 * Mutations, each of which must be found: SKIP_FIRST_BARRIER, SKIP_SECOND_BARRIER,
 * SETTLE_BEFORE_OFF (a vote is taken for a death), NO_RESTART (when the view grows),
 * BELIEVE_DEATHS (with LIES: another's word is taken for a death).
 *
 * A step of a cell is an input of MemberCore with all that follows from it; boards are published
 * and copied in one piece. Cells that fail first have the highest numbers where that is no loss of
 * generality: without JOINS no rule looks at the numbers of cells.
 */
#ifndef N
#define N 3
#endif
#ifndef FAILURES
#define FAILURES 2
#endif
#ifndef JOINS
#define JOINS 0
#endif

#ifdef UNCHECKED
#define assert(condition) skip
#endif

#include "recovery_state.pml"

#define HAS_REACHED(i, j, p) \
  ((j) == (i) || !LIVE(round_view[i], j) || \
   (seen_view[AT(i, j)] == round_view[i] && seen_phase[AT(i, j)] >= (p)))

inline raise(i, x, to) {
  view[i] = WITH(view[i], x, to);
  grew = true;
  if
  :: (to) & 1 -> seen_phase[AT(i, x)] = JOINING
  :: else
  fi
}

/* Forgets what i saw and will not look at again, so that fewer states differ. */
inline forget_outdated(i) {
  for (k : 0 .. N - 1) {
    if
    :: CONTAINS(view[i], seen_view[AT(i, k)]) &&
       (seen_view[AT(i, k)] != view[i] || seen_phase[AT(i, k)] == CLOSING || k == i) ->
       seen_view[AT(i, k)] = 0;
       seen_phase[AT(i, k)] = JOINING
    :: else
    fi
  }
}

/* The node will not act any more: what it saw does not matter. Its board can still be read. */
inline forget_node(x) {
  for (k : 0 .. N - 1) {
    seen_view[AT(x, k)] = 0;
    seen_phase[AT(x, k)] = JOINING;
    if
    :: power[x] == OFF -> holds[AT(x, k)] = 0
    :: else
    fi
  }
}

/* MemberCore::merge_one. */
inline merge_one(i, x, to) {
  life = LIFE(view[i], x);
  if
  :: (to) <= life
  :: (to) > life && (x) == (i) ->
     if
     :: IS_MEMBER(i) -> assert(lies_exist) /* nobody sees a live cell off */
     :: !IS_MEMBER(i) && (to) == 2 * incarnation[i] - 1 ->
        round_view[i] = view[i];
        raise(i, x, to);
        phase[i] = SETTLED
     :: !IS_MEMBER(i) && (to) < 2 * incarnation[i] - 1 && !((to) & 1) -> raise(i, x, to)
     :: else
     fi
  :: else ->
     if
     :: (life & 1) && !IS_OFF(x, (life + 1) / 2) ->
#ifdef BELIEVE_DEATHS
        raise(i, x, life + 1)
#else
        skip /* refused */
#endif
     :: else ->
        if
        :: life & 1 -> raise(i, x, life + 1)
        :: else
        fi;
        if
        :: (to) == LIFE(view[i], x)
        :: (to) > LIFE(view[i], x) && ATTACHED(i, x) == ((to) + 1) / 2 ->
           if
           :: !((to) & 1) && !IS_OFF(x, (to) / 2) /* refused */
           :: else -> raise(i, x, to)
           fi
        :: else ->
           if
           :: !((to) & 1) && KNOWS_GONE(i, x, (to) / 2) -> raise(i, x, to)
           :: else /* tries to attach first: a step of its own */
           fi
        fi
     fi
  fi
}

inline merge(i, from_view) {
  theirs = from_view;
  for (k : 0 .. N - 1) {
    merge_one(i, k, LIFE(theirs, k))
  }
}

/* Invariant 2, first half: when a cell frees, nobody who is still there reaches what goes. */
inline check_discard(i) {
  for (k : 0 .. N - 1) {
    for (d : 0 .. N - 1) {
      assert(power[k] == OFF || holds[AT(k, d)] == 0 || (holds[AT(k, d)] & 1) ||
             LIFE(round_view[i], d) < holds[AT(k, d)])
    }
  }
}

/* Invariants 1, 2 (second half) and 3. */
inline settle(i) {
  phase[i] = SETTLED;
  assert(live_set[EPOCH(round_view[i])] == 0 || live_set[EPOCH(round_view[i])] == round_view[i]);
  live_set[EPOCH(round_view[i])] = round_view[i];
  for (k : 0 .. N - 1) {
    assert(LIVE(round_view[i], k) || IS_OFF(k, LIFE(round_view[i], k) / 2));
    for (d : 0 .. N - 1) {
      assert(power[k] == OFF || LIFE(round_view[i], k) != 2 * incarnation[k] - 1 ||
             holds[AT(k, d)] == 0 || LIFE(round_view[i], d) <= ((holds[AT(k, d)] + 1) & ~1) - 1)
    }
  }
  for (k : 0 .. N - 1) {
    if
    :: k != i && LIVE(round_view[i], k) -> holds[AT(i, k)] = LIFE(round_view[i], k) + 1
    :: else
    fi
  }
}

#if JOINS
#define CAN_TAKE_IN(i, x) \
  (!LIVE(view[i], x) && ATTACHED(i, x) != 0 && 2 * ATTACHED(i, x) - 1 > LIFE(view[i], x) && \
   seen_phase[AT(i, x)] == JOINING && seen_view[AT(i, x)] == view[i] && \
   !IS_OFF(x, ATTACHED(i, x)))
#define ANY_TO_TAKE_IN(i) \
  (phase[i] == SETTLED && view[i] == round_view[i] && LOWEST(view[i]) == (i) && \
   EVERY(HAS_REACHED, i, SETTLED) && !EVERY(NOT_TO_TAKE_IN, i, 0))
#define NOT_TO_TAKE_IN(i, x, p) (!CAN_TAKE_IN(i, x))

inline try_take_in(i) {
  if
  :: ANY_TO_TAKE_IN(i) ->
     d = N;
     for (k : 0 .. N - 1) {
       if
       :: d == N && CAN_TAKE_IN(i, k) -> d = k
       :: else
       fi
     }
     raise(i, d, 2 * ATTACHED(i, d) - 1)
  :: else
  fi
}
#else
inline try_take_in(i) { skip }
#endif

#ifdef SKIP_FIRST_BARRIER
#define MAY_DISCARD(i) true
#else
#define MAY_DISCARD(i) EVERY(HAS_REACHED, i, CLOSED)
#endif
#ifdef SKIP_SECOND_BARRIER
#define MAY_SETTLE(i) true
#else
#define MAY_SETTLE(i) EVERY(HAS_REACHED, i, DISCARDED)
#endif
#ifdef NO_RESTART
#define MAY_BEGIN(i) (phase[i] == SETTLED)
#else
#define MAY_BEGIN(i) true
#endif

/* MemberCore::advance. */
inline advance(i) {
  if
  :: IS_MEMBER(i) ->
     try_take_in(i);
     if
     :: view[i] != round_view[i] && MAY_BEGIN(i) ->
        round_view[i] = view[i];
        phase[i] = CLOSING
     :: else
     fi;
     if
     :: phase[i] == CLOSED && MAY_DISCARD(i) ->
        phase[i] = DISCARDING;
        check_discard(i)
     :: else
     fi;
     if
     :: phase[i] == DISCARDED && MAY_SETTLE(i) -> settle(i)
     :: else
     fi
  :: else
  fi;
  if
  :: grew -> forget_outdated(i)
  :: else
  fi
}

/* Whether j's board has anything for i that i does not know yet. */
#if JOINS
#define IS_PEER(i, j) \
  (LIVE(view[i], j) || !IS_MEMBER(i) || 2 * ATTACHED(i, j) - 1 > LIFE(view[i], j))
#define CAN_READ(i, j) (ATTACHED(i, j) != 0 && ATTACHED(i, j) == incarnation[j])
#else
#define IS_PEER(i, j) LIVE(view[i], j)
#define CAN_READ(i, j) true
#endif
#define IS_NEWS(i, j) \
  ((SHOWN(j) == view[i] && phase[j] != CLOSING || !CONTAINS(view[i], SHOWN(j))) && \
   (seen_view[AT(i, j)] != SHOWN(j) || seen_phase[AT(i, j)] != SEEN(phase[j])))
#if defined(LIES) && !defined(BELIEVE_DEATHS)
/* A board that claims what is not so is not kept, and its owner switched off. */
#define IS_REFUSED(i, j) (IS_LYING(j) && LIVE(view[i], victim[j]))
#else
#define IS_REFUSED(i, j) false
#endif

inline read(i, j) {
  grew = false;
  others_phase = phase[j];
  if
  :: IS_PEER(i, j) && others_phase != JOINING -> merge(i, SHOWN(j))
  :: else
  fi;
  seen_view[AT(i, j)] = SHOWN(j);
  seen_phase[AT(i, j)] = SEEN(others_phase);
  forget_outdated(i);
  advance(i)
}

inline look(i, x) {
  grew = false;
  life = LIFE(view[i], x) + 1;
  raise(i, x, life);
  advance(i)
}

#define CELL_STEPS(j) \
  :: d_step { acts && (j) != _pid && CAN_READ(_pid, j) && !IS_REFUSED(_pid, j) && \
              IS_NEWS(_pid, j) -> read(_pid, j); SAY2("@ read %d %d : %d %d\n", _pid, j) } \
  :: d_step { acts && (j) != _pid && LIVE(view[_pid], j) && \
              IS_OFF(j, (LIFE(view[_pid], j) + 1) / 2) -> \
              look(_pid, j); SAY2("@ look %d %d : %d %d\n", _pid, j) } \
  :: SWITCH_OFF(j) \
  ATTACH(j)

/* The vote, for which ballots.pml stands: a member gets rid of another that hangs, or whose board
   lies. */
#ifdef SETTLE_BEFORE_OFF
#define SWITCH_OFF(j) \
     d_step { acts && IS_MEMBER(_pid) && LIVE(view[_pid], j) && (j) != _pid && \
              !IS_SOUND(j) && power[j] != OFF -> look(_pid, j) }
#else
#define SWITCH_OFF(j) \
     d_step { acts && IS_MEMBER(_pid) && LIVE(view[_pid], j) && (j) != _pid && \
              !IS_SOUND(j) && power[j] != OFF -> \
              power[j] = OFF; forget_node(j); SAY_WORLD("@ off %d\n", j) }
#endif

#if JOINS
#define ATTACH(j) \
  :: d_step { acts && (j) != _pid && attached[AT(_pid, j)] < incarnation[j] && \
              power[j] != OFF -> \
              attach(_pid, j); SAY2("@ attach %d %d : %d %d\n", _pid, j) } \
  :: d_step { acts && (j) != _pid && ANY_CLAIM(_pid, j) -> \
              miss(_pid, j); \
              printf("@ miss %d %d %d : %d %d\n", _pid, j, unreachable[AT(_pid, j)], view[_pid], \
                     phase[_pid]) }
/* Somebody shows x dead in an incarnation that i was not attached to, and can not attach to. */
#define CLAIMED(i, from, x) LIFE(seen_view[AT(i, from)], x)
#define CLAIMS(i, from, x) \
  (CLAIMED(i, from, x) > LIFE(view[i], x) && !(CLAIMED(i, from, x) & 1) && \
   CLAIMED(i, from, x) / 2 > unreachable[AT(i, x)] && \
   CLAIMED(i, from, x) / 2 != attached[AT(i, x)] && IS_OFF(x, CLAIMED(i, from, x) / 2))
#if N == 4
#define ANY_CLAIM(i, x) (CLAIMS(i, 0, x) || CLAIMS(i, 1, x) || CLAIMS(i, 2, x) || CLAIMS(i, 3, x))
#else
#define ANY_CLAIM(i, x) (CLAIMS(i, 0, x) || CLAIMS(i, 1, x) || CLAIMS(i, 2, x))
#endif

inline merge_all(i) {
  for (d : 0 .. N - 1) {
    if
    :: d != i && IS_PEER(i, d) && seen_phase[AT(i, d)] != JOINING -> merge(i, seen_view[AT(i, d)])
    :: else
    fi
  }
}

/* MemberCore::on_attached. */
inline attach(i, x) {
  grew = false;
  attached[AT(i, x)] = incarnation[x];
  seen_view[AT(i, x)] = 0;
  seen_phase[AT(i, x)] = JOINING;
  merge_all(i);
  advance(i)
}

/* MemberCore::on_unreachable, for the largest incarnation that is claimed. */
inline miss(i, x) {
  grew = false;
  for (d : 0 .. N - 1) {
    if
    :: CLAIMS(i, d, x) -> unreachable[AT(i, x)] = CLAIMED(i, d, x) / 2
    :: else
    fi
  }
  merge_all(i);
  advance(i)
}
#else
#define ATTACH(j)
#endif

#define acts (power[_pid] == RUNS)

active [N] proctype cell() {
end:
  do
  CELL_STEPS(0)
  CELL_STEPS(1)
  CELL_STEPS(2)
#if N == 4
  CELL_STEPS(3)
#endif
  :: d_step { acts && phase[_pid] == CLOSING ->
       grew = false;
       phase[_pid] = CLOSED;
       for (k : 0 .. N - 1) {
         if
         :: holds[AT(_pid, k)] != 0 && !(holds[AT(_pid, k)] & 1) &&
            LIFE(round_view[_pid], k) >= holds[AT(_pid, k)] -> holds[AT(_pid, k)]--
         :: else
         fi
       }
       advance(_pid);
       SAY1("@ closed %d : %d %d\n", _pid) }
  :: d_step { acts && phase[_pid] == DISCARDING ->
       grew = false;
       phase[_pid] = DISCARDED;
       for (k : 0 .. N - 1) {
         if
         :: (holds[AT(_pid, k)] & 1) && LIFE(round_view[_pid], k) > holds[AT(_pid, k)] ->
            holds[AT(_pid, k)] = 0
         :: else
         fi
       }
       advance(_pid);
       SAY1("@ discarded %d : %d %d\n", _pid) }
#if JOINS
  :: d_step { acts && ANY_TO_TAKE_IN(_pid) ->
       grew = false;
       advance(_pid);
       SAY1("@ tick %d : %d %d\n", _pid) }
#endif
  od
}

#include "recovery_world.pml"
