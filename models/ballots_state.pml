/* Part of ballots.pml: what the state is. */
#define AT(i, k) ((i) * N + (k))
#define VOTE(i, k, j) ((AT(i, k)) * N + (j))

#define RUNS 0
#define HANGS 1
#define OFF 2
byte power[N];
byte failures = FAILURES;
byte wrong = WRONG;
bit was_wrong[N];
bit excused; /* the last sound cell failed: nobody has to be left */
bit doomed[N]; /* somebody is just switching it off */

/* Opinions: eight times the number of the ballot, and a cell::Verdict. */
#define BALLOT(opinion) ((opinion) >> 3)
#define VERDICT(opinion) ((opinion) & 7)
#define INNOCENT 1
#define GUILTY 2
#define DECIDED_INNOCENT 3
#define DECIDED_GUILTY 4

byte dead[N];          /* the view: a bit for each node that was seen off */
byte own[N * N];       /* [AT(i, k)]: i's opinion on k, on its board */
byte votes[N * N * N]; /* [VOTE(i, k, j)]: j's, as i read it last */
bit is_open[N * N];
bit is_old[N * N];
byte probing[N * N];   /* 1: a probe is under way; 2: and began when the cell hung already */
byte asked[N * N];     /* for the fence lock of this epoch */
byte contested[N];     /* the ballot on itself for which it asked */
bit condemns[N * N];   /* ordered to switch it off */
byte holding[N];       /* 1 + the cell of whom it will decide, with the lock */
byte lock[N + 1];      /* by epoch: 1 + who holds it */

hidden byte k;
hidden byte j2;
hidden byte x;
hidden byte n;
hidden byte guilty;
hidden byte innocent;
hidden byte missing;
hidden byte decided;
hidden byte largest;

#define LIVES(i, k) (!((dead[i] >> (k)) & 1))
#if N == 4
#define DEAD_COUNT(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1) + \
                         (((set) >> 3) & 1))
#define ANY(CONDITION, i, j) \
  (CONDITION(i, 0, j) || CONDITION(i, 1, j) || CONDITION(i, 2, j) || CONDITION(i, 3, j))
#define OPINION(i, k) BALLOT(own[AT(i, k)]), VERDICT(own[AT(i, k)])
#define RESULT(i) \
  printf(" : %d %d %d %d %d %d %d %d\n", OPINION(i, 0), OPINION(i, 1), OPINION(i, 2), \
         OPINION(i, 3))
#else
#define DEAD_COUNT(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1))
#define ANY(CONDITION, i, j) (CONDITION(i, 0, j) || CONDITION(i, 1, j) || CONDITION(i, 2, j))
#define OPINION(i, k) BALLOT(own[AT(i, k)]), VERDICT(own[AT(i, k)])
#define RESULT(i) printf(" : %d %d %d %d %d %d\n", OPINION(i, 0), OPINION(i, 1), OPINION(i, 2))
#endif
#ifdef ONE_LOCK
#define EPOCH(i) 1
#else
#define EPOCH(i) (DEAD_COUNT(dead[i]) + 1)
#endif

/* Somebody who lives, as far as i knows, shows that i is to be switched off: i decides nothing any
   more. If nothing comes of that for a while, the other hangs itself, and i may. */
#define CONDEMNED_BY(i, j, unused) \
  (VERDICT(votes[VOTE(i, i, j)]) == DECIDED_GUILTY && power[j] == RUNS)
#ifdef CONDEMNED_DECIDES
#define IS_CONDEMNED(i) false
#else
#define IS_CONDEMNED(i) ANY(CONDEMNED_BY, i, 0)
#endif
#ifdef MINORITY_DECIDES
#define IS_MAJORITY (guilty > 0)
#else
#define IS_MAJORITY (2 * guilty > n)
#endif
