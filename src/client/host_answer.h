/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares one request to the Auth Service between the two programs that ssh runs for a connection (`tsh config`): the ProxyCommand,
 * which dials, and the KnownHostsCommand, which verifies the host. The first requests the host ID of the node (client/locate.h)
 * while ssh exchanges keys, the second gets the answer from the first:
 *
 *     ssh ──┬── tsh proxy ssh         listens on an abstract socket that is named by the process number of ssh and when ssh started
 *           └── tsh proxy known-host  connects, sends its own query, and reads the host ID, or nothing
 *
 * Both check that the other end is this user's (SO_PEERCRED), and the answer is sent for the same query only: same proxy,
 * cluster, user, login and node. A program without an answer calls the Auth Service itself.
 */
#ifndef CLIENT_HOST_ANSWER_H
#define CLIENT_HOST_ANSWER_H

#include "client/client.h"

/* The query in the form that both programs use: their arguments, separated by blanks. In the arena. */
const char *host_answer_query(struct arena *a, const char *proxy, const char *cluster, const char *user, const char *target);

/* ---- the ProxyCommand --------------------------------------------------------------------------------------- */

struct host_answer;

/* Listens for other child processes of this process's parent. NULL on failure: then no query is answered. */
struct host_answer *host_answer_listen(struct loop *l, const char *query) MUST_USE;
/* Sets the answer for waiting and later clients; id NULL: unknown, the clients must call the Auth Service. NULL is silent. */
void host_answer_set(struct host_answer *h, const char *host_id);
/* NULL is silent. */
void host_answer_close(struct host_answer *h);

/* ---- the KnownHostsCommand ----------------------------------------------------------------------------------- */

/* Waits for the answer, TIMEOUT_RPC at most. NULL: there is none. In the arena. */
const char *host_answer_fetch(struct arena *a, const char *query);

#endif
