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

/* Opinions: sixteen times the number of the ballot, eight if it is closed, and a cell::Verdict. */
#define BALLOT(opinion) ((opinion) >> 4)
#define IS_CLOSED(opinion) (((opinion) >> 3) & 1)
#define VERDICT(opinion) ((opinion) & 7)
#define INNOCENT 1
#define GUILTY 2
#define DECIDED_INNOCENT 3
#define DECIDED_GUILTY 4

byte dead[N];          /* the view: a bit for each node that was seen off */
byte own[N * N];       /* [AT(i, k)]: i's opinion on k, on its board */
byte votes[N * N * N]; /* [VOTE(i, k, j)]: j's, as i read it last */
bit is_open[N * N];
bit is_old[N * N];      /* also [AT(i, i)], the ballot on i itself */
byte disputed[N * N];   /* 1: only the lock can decide it; 2: and the accused had its time */
byte probing[N * N];   /* 1: a probe is under way; 2: and began when the cell hung already */
bit asked[N * N];       /* for the fence lock */
byte contested[N];     /* the ballot on itself for which it asked */
bit condemns[N * N];   /* ordered to switch it off */
byte holding[N];       /* 1 + the cell of whom it will decide, with the lock */
byte lock;             /* 1 + who holds it */

hidden byte k;
hidden byte j2;
hidden byte x;
hidden byte n;
hidden byte guilty;
hidden byte innocent;
hidden byte missing;
hidden byte decided;
hidden byte largest;
hidden byte from;

#define LIVES(i, k) (!((dead[i] >> (k)) & 1))
#if N == 4
#define DEAD_COUNT(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1) + \
                         (((set) >> 3) & 1))
#define ANY(CONDITION, i, j) \
  (CONDITION(i, 0, j) || CONDITION(i, 1, j) || CONDITION(i, 2, j) || CONDITION(i, 3, j))
#define OPINION(i, k) BALLOT(own[AT(i, k)]), own[AT(i, k)] & 15
#define RESULT(i) \
  printf(" : %d %d %d %d %d %d %d %d\n", OPINION(i, 0), OPINION(i, 1), OPINION(i, 2), \
         OPINION(i, 3))
#else
#define DEAD_COUNT(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1))
#define ANY(CONDITION, i, j) (CONDITION(i, 0, j) || CONDITION(i, 1, j) || CONDITION(i, 2, j))
#define OPINION(i, k) BALLOT(own[AT(i, k)]), own[AT(i, k)] & 15
#define RESULT(i) printf(" : %d %d %d %d %d %d\n", OPINION(i, 0), OPINION(i, 1), OPINION(i, 2))
#endif

#ifdef MINORITY_DECIDES
#define IS_MAJORITY (guilty > 0)
#else
#define IS_MAJORITY (2 * guilty > n)
#endif
