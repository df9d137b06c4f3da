/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to the Auth Service for both programs that ssh runs for a connection (`tsh config`): the ProxyCommand, which
 * dials, and the KnownHostsCommand, which says whether the host that answers is the one that was meant. The first asks which
 * host ID that is (client/locate.h) while ssh exchanges keys, the second fetches the answer from it:
 *
 *     ssh ──┬── tsh proxy ssh         listens on an abstract socket that is named by the process number of ssh and when ssh started
 *           └── tsh proxy known-host  connects, says what it would ask, and reads the host ID, or nothing
 *
 * Both check that the other end is this user's (SO_PEERCRED), and the answer is given to the same question only: same proxy,
 * cluster, user, login and node. Whoever gets none asks the Auth Service itself, so that nothing depends on this.
 */
#ifndef CLIENT_HOST_ANSWER_H
#define CLIENT_HOST_ANSWER_H

#include "client/client.h"

/* The question as both put it: what they were given, one word a blank apart. In the arena. */
const char *host_answer_query(struct arena *a, const char *proxy, const char *cluster, const char *user, const char *target);

/* ---- the ProxyCommand --------------------------------------------------------------------------------------- */

struct host_answer;

/* Listens for those that the parent of this process starts beside it. NULL when that cannot be: nobody is answered. */
struct host_answer *host_answer_listen(struct loop *l, const char *query) MUST_USE;
/* What everybody is told from now on, those who wait included; NULL: nothing is known, they are to ask themselves. NULL is silent. */
void host_answer_set(struct host_answer *h, const char *host_id);
/* NULL is silent. */
void host_answer_close(struct host_answer *h);

/* ---- the KnownHostsCommand ----------------------------------------------------------------------------------- */

/* Waits for the answer, TIMEOUT_RPC at most. NULL: there is none. In the arena. */
const char *host_answer_fetch(struct arena *a, const char *query);

#endif
