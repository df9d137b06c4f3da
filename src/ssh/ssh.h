/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SSH Service's process: what its parts share. Private to src/ssh.
 *
 *      proxies ◀── reverse tunnels ── tunnel_keeper.c        one to each proxy there is
 *         │ CONNECT
 *         ▼
 *      connection.c ◀──── splice ────▶ sshd -i          started by the supervisor, which alone may be root
 *         │   ▲  │                       │ starts as …
 *         │   │  └ sshd_log.c ◀─ stderr ─┤
 *         │   │                          ├─ root: teleport ssh-authorize   "may this certificate log in as …?"
 *         │   └── helpers.c ◀── socket ──┴─ the user: teleport ssh-session  the shell, the recorder's eye
 *         │           │
 *         │           └ spool.c ── data_dir/spool ── upload.c ──▶ auth  Record: the recording, resumed without loss
 *         └ report_stream.c ──▶ auth  Report: who asks, what happens, the order to end
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

/* By the ID that the proxy gave; NULL when there is none. */
struct connection *connection_find(struct ssh_service *s, struct str connection_id);
/* "192.0.2.7:50122", the user's address as the proxy saw it; borrowed for its life. */
struct str connection_client_addr(const struct connection *c);

/* ssh-authorize asks; nonce: for the Auth Service to sign. done exactly once from the loop; decision borrowed, NULL with err (owned). */
void connection_request(struct connection *c, struct str certificate, struct str login, struct str nonce,
                    void (*done)(void *ctx, const Cteleport__V1__ReportDecision *decision, struct error *err), void *ctx);

/* Why no session begins on it any more; NULL: it is open. Borrowed for its life. */
const char *connection_why_ending(const struct connection *c);

/* The decision that sshd has acted on: the latest for the certificate it accepted; NULL before. */
const Cteleport__V1__ReportDecision *connection_decision(const struct connection *c);

/*
 * Tells the cluster; `up` is copied, its seq filled in. acknowledged (may be NULL) is called once when it is
 * durable there, or with an error (owned) when the connection ends before.
 */
void connection_report(struct connection *c, const Cteleport__V1__ReportUp *up,
                     void (*acknowledged)(void *ctx, struct error *err), void *ctx);

/* Programs of a connection: so that its end reaches them, and waits for them. */
void connection_add_helper(struct connection *c, struct helper *h);
void connection_remove_helper(struct connection *c, struct helper *h);

/* A session's program has proven to be that. sshd's log has one line for each; a line without a report ends the connection. */
void connection_session_reported(struct connection *c);

/* Ends the connection: sessions get the reason, sshd's end is closed after a moment. */
void connection_end(struct connection *c, struct error *err);

/* ---- helpers.c: programs that sshd started, on the helpers socket -------------------------------------- */

struct helpers;
/* fd: listening, owned. */
struct helpers *helpers_open(struct ssh_service *s, int fd);
void helpers_close(struct helpers *h);
/*
 * The connection of a session is over: text for its terminal. The connection waits for it: the helper tells how the
 * session ended, and removes itself from the connection when its program is gone, within some seconds, always.
 */
void helper_end(struct helper *h, struct str text);
/*
 * The cluster's decision on a session that wants to begin, which comes before the start is acknowledged. False: on another
 * session. One that is refused is closed, and removed from the connection before this returns.
 */
bool helper_decided(struct helper *h, const Cteleport__V1__ReportDecision *decision);
/* Its connection waits no longer: closes it, and it is removed from the connection before this returns. */
void helper_abandon(struct helper *h);
/*
 * Asks the supervisor, who may look: did the sshd of this connection start process `pid` (by SO_PEERCRED), and is it our
 * own program? pidfd: of the same process, borrowed, or -1. done exactly once from the loop, err NULL for yes,
 * PERMISSION_DENIED for no (owned); not after a cancel.
 */
struct helper_check;
struct helper_check *helper_check_start(struct ssh_service *s, struct str connection_id, pid_t pid, int pidfd,
                                        void (*done)(void *ctx, struct error *err), void *ctx) MUST_USE;
void helper_check_cancel(struct helper_check *k); /* NULL is silent */
/* The supervisor's answer, from ssh.c. */
void helper_checked(struct ssh_service *s, const Cteleport__Internal__V1__SshControl *answer);

/* ---- ssh.c ------------------------------------------------------------------------------------------------ */

struct loop *ssh_loop(struct ssh_service *s);
/* Whom sshd runs ssh-authorize as. */
uid_t ssh_authorize_uid(const struct ssh_service *s);
/* What this host allows at all; never NULL. */
const Cteleport__V1__SSHConfig *ssh_config(const struct ssh_service *s);
struct spool *ssh_spool(struct ssh_service *s);
const struct host_identity *ssh_identity(const struct ssh_service *s);
/* What this host is called in the cluster. */
const char *ssh_node_name(const struct ssh_service *s);
/* The address at which users reach the cluster, for SSH_SESSION_WEBPROXY_ADDR. */
const char *ssh_proxy_addr(const struct ssh_service *s);

#endif
