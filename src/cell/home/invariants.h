// What is always true of a home (home.h), by number: the code says which of these it is about.
//
// INVARIANTS. A page of a segment is plain, or *torn*: its torn bit is set under the mutex, before
// its memory is taken back, and cleared under the mutex after it was refilled.
//  1. Calls on page tables and on frames (give, open, close, take back, refill) run without the
//     mutex; each is entered in page_calls_ before the mutex is released, and struck out after.
//  2. Two calls never overlap on the same pages of the same client; the second waits, at most
//     page_wait_max_ns, and then says busy. Taking back waits for nobody.
//  3. Taking back leaves a hole. A give or open in flight cannot install a hole, so after the take
//     back nobody reads what was torn, and nobody stores there.
//  4. Pages get new memory (reset, reuse of a freed segment) only when no call on them is in
//     flight, after every client's space was told to forget them, and no new call can begin
//     meanwhile: they are torn, or belong to no segment.
//  5. A window is in the table before its pages are opened and until after they were closed or
//     taken back. Whoever takes a window of a leaving client out of the table, under the mutex,
//     tears it: so it is torn once. The thread that was opening or closing it finds it gone and
//     says lost.
//  6. No reset happens where a window is open, so a holder of a shared window whose pages another
//     holder tore always finds the torn bits when it commits.
//  7. A window whose close fails because the process is gone is closed; one whose close fails
//     otherwise is torn, since nothing else is known to stop its stores.
//  8. Memory that anybody was ever given is taken back and refilled before it serves another
//     segment.
//  9. A client that leaves without windows changes no page.
// 10. A window of a segment that is rolled back holds what its pages held before they were opened.
//     Torn, they are marked as being restored besides; whoever comes is told busy, until they have
//     their old content, or, if Linux has no memory for it, are torn like others.
//
// 11. The page of a mutex or condition belongs to no segment. It is open to its openers and to
//     nobody else, and freed when they have all closed the segment. A client is an opener before
//     its page is opened, and no more only when it is dead or the page is closed; then the word is
//     looked at, and whoever sleeps there is woken, since the dead may have owed them a wake.
//
// 12. Frames that hold pages of files are the page cache's (frames/cache_frames.h), which asks for
//     free ones and is asked for its own when a segment finds none. A client is given one for
//     reading only while it holds the page that was meant, and it is renewed as invariant 4 says.
//
// 13. A view of a client is a range of its own addresses, and each page of it an anonymous frame,
//     which is the client's alone: it is open from the first touch to the end of the view, and is
//     cleaned as invariant 8 says before it serves anybody else. The client's library maps a frame
//     there before the page is brought in; which one, the home remembers, and never opens a page
//     where another is shown. Calls on one block of a view come one after the other from a sound
//     client, and an unsound one harms its own memory. A view of copies may lie over one of a file
//     for reading, and has a frame for a page only with its content, which is there before anybody
//     is shown it. What is away is in no frame of the node: away_pages.h.
//
// 14. A page of a view of a file is a frame of the page cache. It is brought in only while that
//     holds the page that was meant. A client that may store there is an opener of the frame, from
//     before the page is opened until after it is closed or taken back; and the cache knows the
//     page as dirty all that time. If the client dies meanwhile, the page is lost: the cache and
//     the file service hear of it first, then it is taken back, and until that is over no renewal
//     of the frame can end.
//
// 15. A lent frame is open to the borrower's kernel, and this cell leaves alone what it holds. The
//     page tables of a loan are one thread's work at a time: it is busy, and none of its frames
//     goes. A loan that ends serves others only after renewal.
#pragma once
