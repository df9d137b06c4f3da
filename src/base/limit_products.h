/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What multiplies: limits of one peer, connection or request times how many of them there may be. Each row is the memory of one
 * process that its peers can cause together, at worst, and a bound in MiB that limit_products.c holds it to. docs/reference/limits.md
 * is printed from here too. A new limit that multiplies another gets a row here; where the product is too large, it also gets a
 * budget (base/budget.h) that all draw from.
 *
 *      LIMIT_PRODUCT(process, what, bytes, bound in MiB)
 */
#ifndef BASE_LIMIT_PRODUCTS_H
#define BASE_LIMIT_PRODUCTS_H

#include "base/limits.h"

/* clang-format off */
#define LIMIT_PRODUCTS \
        LIMIT_PRODUCT("auth, proxy", "headers, unfinished messages and unread answers of unauthenticated peers: a budget, and what is free on each connection", \
                      (LIMIT_CONNECTIONS_UNAUTHENTICATED + LIMIT_CONNECTIONS_RESERVE) * LIMIT_RPC_MEMORY_FREE + LIMIT_RPC_MEMORY_UNAUTHENTICATED, 192) \
        LIMIT_PRODUCT("auth, proxy", "handshakes of unauthenticated peers: certificates, unread answers to TLS, the head of a request", \
                      (LIMIT_CONNECTIONS_UNAUTHENTICATED + LIMIT_CONNECTIONS_RESERVE) * (LIMIT_TLS_CHAIN + LIMIT_TLS_CONTROL + LIMIT_HTTP1_HEADER), 192) \
        LIMIT_PRODUCT("auth, proxy", "joins under way: what the host sent, and the attempt (4 times LIMIT_RPC_JOIN)", \
                      LIMIT_PENDING_JOINS * (LIMIT_RPC_JOIN + 4 * LIMIT_RPC_JOIN), 320) \
        LIMIT_PRODUCT("auth", "headers, unfinished messages and unread answers of hosts and users: a budget, and what is free on each connection", \
                      LIMIT_CONNECTIONS_AUTHENTICATED * LIMIT_RPC_MEMORY_FREE + LIMIT_RPC_MEMORY_AUTHENTICATED, 1152) \
        LIMIT_PRODUCT("auth", "of those, by one host in one role, or one user", \
                      LIMIT_CONNECTIONS_IDENTITY * LIMIT_RPC_MEMORY_FREE + LIMIT_RPC_MEMORY_IDENTITY, 160) \
        LIMIT_PRODUCT("auth", "requests of users and administrators: two budgets for those that wait, one that is being answered, and one on each of the pool's four threads", \
                      LIMIT_REQUESTS_MEMORY + LIMIT_REQUESTS_MEMORY_RESERVE + 5 * LIMIT_REQUEST_ARENA, 448) \
        LIMIT_PRODUCT("auth", "pages read in one batch of the store", LIMIT_STORE_BATCH_READS * (LIMIT_STORE_PAGE + LIMIT_STORE_VALUE), 80) \
        LIMIT_PRODUCT("auth", "presence streams that are held, 56 KiB each", LIMIT_PRESENCE_HELD * 56 * KiB, 64) \
        LIMIT_PRODUCT("auth", "passwords that are checked at once, 64 MiB each", LIMIT_PASSWORD_WORK * 64 * MiB, 128) \
        LIMIT_PRODUCT("auth", "lines on their way to events.log, and one batch of them", LIMIT_AUDIT_WAITING + LIMIT_AUDIT_BATCH + LIMIT_AUDIT_RECORD, 40) \
        LIMIT_PRODUCT("auth", "questions of proxies for a connection to a node: the names they keep", LIMIT_DIALS * LIMIT_DIAL_ARENA, 32) \
        LIMIT_PRODUCT("auth", "messages about connections, and recordings, that are not on the disk: a budget", LIMIT_UNSTORED, 384) \
        LIMIT_PRODUCT("auth", "the same of one host", LIMIT_UNSTORED_HOST, 128) \
        LIMIT_PRODUCT("auth", "events in the outbox: their keys", LIMIT_OUTBOX_WAITING * 256, 4) \
        LIMIT_PRODUCT("auth", "tickets of connections that proxies announced, 256 bytes each", LIMIT_PASSES * 256, 4) \
        LIMIT_PRODUCT("auth", "failures of logins that are counted, 100 bytes each", LIMIT_LOGIN_TALLIES * 100, 4) \
        LIMIT_PRODUCT("sts", "pending requests, with their answers", LIMIT_STS_WAITING * (LIMIT_STS_REQUEST + LIMIT_STS_ANSWER), 80) \
        LIMIT_PRODUCT("sts", "pending requests to an STS host that is slow, and what is left for each of the 40 others", \
                      (LIMIT_STS_WAITING_SLOW_ALL + 40 * LIMIT_STS_WAITING_RESERVE) * (LIMIT_STS_REQUEST + LIMIT_STS_ANSWER), 80) \
        LIMIT_PRODUCT("proxy", "streams of SSH connections: a budget", LIMIT_STREAM_MEMORY, 1152) \
        LIMIT_PRODUCT("proxy", "what waits for one host in tunnels that it does not read, beside their streams: 256 KiB each in HTTP/2 and TLS", \
                      (LIMIT_TUNNELS_PER_HOST + LIMIT_TUNNELS_DRAINED_PER_HOST) * 256 * KiB, 16) \
        LIMIT_PRODUCT("proxy", "connections that are passed through to auth: what was read last, each way", \
                      LIMIT_PASSED * (LIMIT_PASSED_HELLO + LIMIT_PASSED_READ), 576) \
        LIMIT_PRODUCT("proxy", "the same of one source", LIMIT_PASSED_PER_SOURCE * (LIMIT_PASSED_HELLO + LIMIT_PASSED_READ), 72) \
        LIMIT_PRODUCT("ssh", "streams of connections: a budget", LIMIT_STREAM_MEMORY_NODE, 128) \
        LIMIT_PRODUCT("ssh", "events that the cluster has not acknowledged: a bound for all, and a share that each connection has in any case", \
                      LIMIT_SSH_UNREPORTED_ALL + LIMIT_SSH_CONNECTIONS * (LIMIT_SSH_UNREPORTED_ALL / LIMIT_SSH_CONNECTIONS), 512) \
        LIMIT_PRODUCT("ssh", "recordings that the disk has not taken: a bound for all, and what is read of one terminal (six times that in a recording)", \
                      LIMIT_SPOOL_WAITING_ALL + 6 * LIMIT_SESSION_RECEIVED, 65) \
        LIMIT_PRODUCT("ssh", "what programs of sessions say: a message that is not whole, of each session", \
                      LIMIT_SSH_CONNECTIONS * LIMIT_SSH_SESSIONS * LIMIT_SESSION_RECEIVED, 512) \
        LIMIT_PRODUCT("ssh", "recordings on the disk that the cluster does not have: a budget", (long long)LIMIT_SPOOL_MIB * MiB, 32768) \
        LIMIT_PRODUCT("ssh", "programs of sshd that have not proven what they are, 8 KiB each", 2 * LIMIT_HELPERS_UNKNOWN * 8 * KiB, 4)
/* clang-format on */

#endif
