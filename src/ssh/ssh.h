/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations shared by the modules of the SSH Service process. Private to src/ssh.
 *
 *      proxies ◀── reverse tunnels ── tunnel_keeper.c        one to each proxy
 *         │ CONNECT
 *         ▼
 *      connection.c ◀──── splice ────▶ sshd -i          started by the supervisor, which runs as root
 *         │   ▲  │                       │ starts as …
 *         │   │  └ sshd_log.c ◀─ stderr ─┤
 *         │   │                          ├─ root: teleport ssh-authorize   "may this certificate log in as …?"
 *         │   └── helpers.c ◀── socket ──┴─ the user: teleport ssh-session  the shell and its recorder
 *         │           │
 *         │           └ spool.c ── data_dir/spool ── upload.c ──▶ auth  Record: the recording, resumed without loss
 *         └ report_stream.c ──▶ auth  Report: logins, events, the order to end
 */
#ifndef SSH_SSH_H
#define SSH_SSH_H

#include "api.pb-c.h"
#include "api/service.h"
#include "join/host_identity.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "session.pb-c.h"

struct ssh_service;
struct connection;
struct helper;
struct rpc_client;
struct spool;

/* ---- connection.c: one SSH connection, from the proxy's CONNECT to the end of its sshd --------------- */

/* Finds a connection by the ID from the proxy; NULL when there is none. */
struct connection *connection_find(struct ssh_service *s, struct str connection_id);
/* "192.0.2.7:50122", the user's address as seen by the proxy; borrowed as long as the connection exists. */
struct str connection_client_addr(const struct connection *c);

/*
 * Requests the decision on a certificate, for ssh-authorize; nonce: signed by the Auth Service. done is called exactly
 * once, from the loop; the decision is borrowed, NULL with err (owned).
 */
void connection_request(struct connection *c, struct str certificate, struct str login, struct str nonce,
                    void (*done)(void *ctx, const Cteleport__V1__ReportDecision *decision, struct error *err), void *ctx);

/*
 * The reason why the connection is ending and accepts no sessions; NULL: it is open. Borrowed as long as the connection
 * exists.
 */
const char *connection_why_ending(const struct connection *c);

/* The decision by which sshd accepted the login: the latest one for the accepted certificate; NULL before. */
const Cteleport__V1__ReportDecision *connection_decision(const struct connection *c);

/*
 * Sends a report to the cluster; `up` is copied and its seq filled in. acknowledged (may be NULL) is called once when
 * the report is durable there, or with an error (owned) when the connection ends before.
 */
void connection_report(struct connection *c, const Cteleport__V1__ReportUp *up,
                     void (*acknowledged)(void *ctx, struct error *err), void *ctx);

/* Adds and removes programs of a connection, which are notified of its end and awaited. */
void connection_add_helper(struct connection *c, struct helper *h);
void connection_remove_helper(struct connection *c, struct helper *h);

/*
 * Counts a session whose program was identified. sshd logs one line for each session; a line without such a session
 * ends the connection.
 */
void connection_session_reported(struct connection *c);

/* Ends the connection: sessions get the reason, and sshd's socket is closed shortly afterwards. */
void connection_end(struct connection *c, struct error *err);

/* ---- helpers.c: programs that sshd started, on the helpers socket -------------------------------------- */

struct helpers;
/* Serves the helpers' socket. fd: listening, owned. */
struct helpers *helpers_open(struct ssh_service *s, int fd);
void helpers_close(struct helpers *h);
/*
 * Ends a session because its connection ends; text is shown on its terminal. The connection waits for the helper, which
 * reports how the session ended and removes itself from the connection when its program has ended, always within some
 * seconds.
 */
void helper_end(struct helper *h, struct str text);
/*
 * Handles the cluster's decision on a beginning session, which arrives before the acknowledgement of its start. False:
 * it concerns another session. A refused session is closed, and removed from the connection before this returns.
 */
bool helper_decided(struct helper *h, const Cteleport__V1__ReportDecision *decision);
/* Closes a helper for which its connection no longer waits; it is removed from the connection before this returns. */
void helper_abandon(struct helper *h);
/*
 * Requests a check from the supervisor, which has the necessary rights: whether the sshd of this connection started
 * process `pid` (by SO_PEERCRED), and whether this is our own program. pidfd: of the same process, borrowed, or -1.
 * done is called exactly once, from the loop, unless cancelled: err is NULL for yes, PERMISSION_DENIED for no (owned).
 */
struct helper_check;
struct helper_check *helper_check_start(struct ssh_service *s, struct str connection_id, pid_t pid, int pidfd,
                                        void (*done)(void *ctx, struct error *err), void *ctx) MUST_USE;
void helper_check_cancel(struct helper_check *k); /* NULL is silent */
/* Handles the supervisor's answer; called by ssh.c. */
void helper_checked(struct ssh_service *s, const Cteleport__Internal__V1__SshControl *answer);

/* ---- ssh.c ------------------------------------------------------------------------------------------------ */

struct loop *ssh_loop(struct ssh_service *s);
/* The user as which sshd runs ssh-authorize. */
uid_t ssh_authorize_uid(const struct ssh_service *s);
/* The configuration ssh_service of this host; never NULL. */
const Cteleport__V1__SSHConfig *ssh_config(const struct ssh_service *s);
struct spool *ssh_spool(struct ssh_service *s);
const struct host_identity *ssh_identity(const struct ssh_service *s);
/* The name of this host in the cluster. */
const char *ssh_node_name(const struct ssh_service *s);
/* The address at which users reach the cluster, for SSH_SESSION_WEBPROXY_ADDR. */
const char *ssh_proxy_addr(const struct ssh_service *s);

#endif
