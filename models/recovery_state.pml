/* Part of recovery.pml: what the state is. */
/* Views: four bits for each node's life. */
#define LIFE(v, k) (((v) >> (4 * (k))) & 15)
#define LIVE(v, k) (((v) >> (4 * (k))) & 1)
#define WITH(v, k, life) (((v) & ~(15 << (4 * (k)))) | ((life) << (4 * (k))))
#if N == 4
#define TOPS 34952 /* the highest bit of each life */
#define ALL_ALIVE 4369
#define LOWEST(v) (LIVE(v, 0) -> 0 : (LIVE(v, 1) -> 1 : (LIVE(v, 2) -> 2 : 3)))
#define SUM(v) (LIFE(v, 0) + LIFE(v, 1) + LIFE(v, 2) + LIFE(v, 3))
#define EVERY(CONDITION, i, p) \
  (CONDITION(i, 0, p) && CONDITION(i, 1, p) && CONDITION(i, 2, p) && CONDITION(i, 3, p))
#else
#define TOPS 2184
#define ALL_ALIVE 273
#define LOWEST(v) (LIVE(v, 0) -> 0 : (LIVE(v, 1) -> 1 : 2))
#define SUM(v) (LIFE(v, 0) + LIFE(v, 1) + LIFE(v, 2))
#define EVERY(CONDITION, i, p) (CONDITION(i, 0, p) && CONDITION(i, 1, p) && CONDITION(i, 2, p))
#endif
#define CONTAINS(v, w) (((((v) | TOPS) - (w)) & TOPS) == TOPS)
#define EPOCH(v) (SUM(v) - N + 1)
#define AT(i, j) ((i) * N + (j))

/* As cell::Phase. */
#define JOINING 0
#define CLOSING 1
#define CLOSED 2
#define DISCARDING 3
#define DISCARDED 4
#define SETTLED 5

/* What really is. A node that is off never runs again under the same incarnation. */
#define RUNS 0
#define HANGS 1
#define OFF 2
byte power[N];
byte incarnation[N] = 1;
byte failures = FAILURES;
byte joins = JOINS;
#ifdef LIES
#if JOINS
#error not both
#endif
byte lies[N];   /* 1: its board is corrupt, and shows */
byte victim[N]; /* this node dead, whatever it knows; once it is dead that is no lie any more */
#define IS_LYING(j) (lies[j] * (power[victim[j]] != OFF))
#define SHOWN(j) (view[j] + (view[j] & (IS_LYING(j) << (4 * victim[j]))))
#define IS_SOUND(j) (power[j] == RUNS && !lies[j])
#define lies_exist true
#else
#define lies_exist false
#define SHOWN(j) view[j]
#define IS_SOUND(j) (power[j] == RUNS)
#endif

/* The boards, and what else the cores know. */
int view[N] = ALL_ALIVE;
byte phase[N] = SETTLED;
int round_view[N] = ALL_ALIVE;
int seen_view[N * N];   /* [AT(i, j)]: of j's board as i read it last; 0 once that is outdated */
byte seen_phase[N * N];
#if JOINS
byte attached[N * N] = 1; /* incarnation */
byte unreachable[N * N]; /* incarnation that could not be attached to */
#define ATTACHED(i, k) attached[AT(i, k)]
#define KNOWS_GONE(i, k, number) (unreachable[AT(i, k)] >= (number))
#else
#define ATTACHED(i, k) 1
#define KNOWS_GONE(i, k, number) false
#endif

/* For the properties only. holds: what j has of d; twice d's incarnation: it reaches pages that d
   shares with it; one less: these are closed, not discarded yet; 0: nothing. */
byte holds[N * N] = 2;
int live_set[FAILURES + JOINS + 2]; /* settled by anybody; by epoch */

hidden byte k;
hidden byte d;
hidden byte life;
hidden int theirs;
hidden byte others_phase;
hidden byte grew;

#define IS_OFF(x, number) (incarnation[x] > (number) || power[x] == OFF)
#define IS_MEMBER(i) (phase[i] != JOINING)
/* Of others' phases only this much matters. */
#if JOINS
#define SEEN(p) ((p) == DISCARDING -> CLOSED : (p))
#else
#define SEEN(p) ((p) == DISCARDING -> CLOSED : ((p) == SETTLED -> DISCARDED : (p)))
#endif

/* What tests/member/model_replay reads; printed in simulation and along error trails only. */
#define SAY1(text, i) printf(text, i, view[i], phase[i])
#define SAY2(text, i, j) printf(text, i, j, view[i], phase[i])
#define SAY_WORLD(text, x) printf(text, x)
