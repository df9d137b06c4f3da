/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of limits: the limit of one peer, connection or request times the number of them. Each row is the largest
 * amount of memory that the peers of one process can cause together, and a bound in MiB that limit_products.c checks at
 * compile time. docs/reference/limits.md has these rows too. Add a row for each new limit that another limit
 * multiplies; where the product is too large, add a budget (base/budget.h) that all share.
 *
 *      LIMIT_PRODUCT(process, memory, bytes, bound in MiB)
 */
#ifndef BASE_LIMIT_PRODUCTS_H
#define BASE_LIMIT_PRODUCTS_H

#include "base/limits.h"

/* clang-format off */
#define LIMIT_PRODUCTS \
        LIMIT_PRODUCT("auth, proxy", "calls of unauthenticated peers, and requests by HTTP/2 of browsers whose user is not known: a budget, and the free part of each connection", \
                      (LIMIT_CONNECTIONS_UNAUTHENTICATED + LIMIT_CONNECTIONS_RESERVE) * LIMIT_RPC_MEMORY_FREE + LIMIT_RPC_MEMORY_UNAUTHENTICATED, 192) \
        LIMIT_PRODUCT("auth, proxy", "handshakes of unauthenticated peers: certificates, unread answers to TLS, an HTTP request and the data sent ahead of its answer", \
                      (LIMIT_CONNECTIONS_UNAUTHENTICATED + LIMIT_CONNECTIONS_RESERVE) * (LIMIT_TLS_CHAIN + LIMIT_TLS_CONTROL + LIMIT_HTTP1_HEADER + LIMIT_HTTP1_FORM + LIMIT_HTTP1_AHEAD), 192) \
        LIMIT_PRODUCT("auth, proxy", "pending joins: the messages of the host, and the attempt (4 times LIMIT_RPC_JOIN)", \
                      LIMIT_PENDING_JOINS * (LIMIT_RPC_JOIN + 4 * LIMIT_RPC_JOIN), 320) \
        LIMIT_PRODUCT("auth", "headers, unfinished messages and unread answers of hosts and users: a budget, and the free part of each connection", \
                      LIMIT_CONNECTIONS_AUTHENTICATED * LIMIT_RPC_MEMORY_FREE + LIMIT_RPC_MEMORY_AUTHENTICATED, 1152) \
        LIMIT_PRODUCT("auth", "the same of one host in one role, or one user", \
                      LIMIT_CONNECTIONS_IDENTITY * LIMIT_RPC_MEMORY_FREE + LIMIT_RPC_MEMORY_IDENTITY, 160) \
        LIMIT_PRODUCT("auth", "requests of users and administrators: two budgets for waiting ones, one request in progress, and one on each of the pool's four threads", \
                      LIMIT_REQUESTS_MEMORY + LIMIT_REQUESTS_MEMORY_RESERVE + 5 * LIMIT_REQUEST_ARENA, 448) \
        LIMIT_PRODUCT("auth", "pages read in one batch of the store", LIMIT_STORE_BATCH_READS * (LIMIT_STORE_PAGE + LIMIT_STORE_VALUE), 80) \
        LIMIT_PRODUCT("auth", "held presence streams, 56 KiB each", (LIMIT_PRESENCE_HELD + LIMIT_PRESENCE_HELD_APPS) * 56 * KiB, 112) \
        LIMIT_PRODUCT("auth", "resources of kind app, in memory four times their size", LIMIT_APP_RESOURCES * 4 * LIMIT_APP_RESOURCE, 32) \
        LIMIT_PRODUCT("auth", "password hashes computed at once, 64 MiB each", LIMIT_PASSWORD_WORK * 64 * MiB, 128) \
        LIMIT_PRODUCT("auth", "lines that wait for events.log, and one batch of them", LIMIT_AUDIT_WAITING + LIMIT_AUDIT_BATCH + LIMIT_AUDIT_RECORD, 40) \
        LIMIT_PRODUCT("auth", "dials of proxies: the names that they keep", LIMIT_DIALS * LIMIT_DIAL_ARENA, 32) \
        LIMIT_PRODUCT("auth", "messages about connections and recordings that are not on the disk yet: a budget", LIMIT_UNSTORED, 384) \
        LIMIT_PRODUCT("auth", "the same of one host", LIMIT_UNSTORED_HOST, 128) \
        LIMIT_PRODUCT("auth", "events in the outbox: their keys", LIMIT_OUTBOX_WAITING * 256, 4) \
        LIMIT_PRODUCT("auth", "tickets of announced connections, 256 bytes each", LIMIT_PASSES * 256, 4) \
        LIMIT_PRODUCT("auth", "counters of failed logins, 100 bytes each", LIMIT_LOGIN_COUNTERS * 100, 4) \
        LIMIT_PRODUCT("sts", "pending requests, with their answers", LIMIT_STS_WAITING * (LIMIT_STS_REQUEST + LIMIT_STS_ANSWER), 80) \
        LIMIT_PRODUCT("sts", "pending requests to a slow STS host, and the reserve of each of the 40 others", \
                      (LIMIT_STS_WAITING_SLOW_ALL + 40 * LIMIT_STS_WAITING_RESERVE) * (LIMIT_STS_REQUEST + LIMIT_STS_ANSWER), 80) \
        LIMIT_PRODUCT("diag", "unread answers, and requests", LIMIT_DIAG_CONNECTIONS * (LIMIT_DIAG_ANSWER + LIMIT_HTTP1_HEADER + LIMIT_HTTP1_AHEAD), 16) \
        LIMIT_PRODUCT("proxy", "streams of SSH connections: a budget", LIMIT_STREAM_MEMORY, 1152) \
        LIMIT_PRODUCT("proxy", "certificates by ACME for names of applications: their texts, and 64 KiB in OpenSSL", \
                      LIMIT_ACME_APPS * (2 * LIMIT_ACME_CERTIFICATE + 64 * KiB), 32) \
        LIMIT_PRODUCT("proxy", "data for one host in unread tunnels, in addition to their streams: 256 KiB each in HTTP/2 and TLS", \
                      (LIMIT_TUNNELS_PER_HOST + LIMIT_TUNNELS_DRAINED_PER_HOST) * 256 * KiB, 16) \
        LIMIT_PRODUCT("proxy", "connections of one other proxy, and those to it that it has left, in addition to their streams: 256 KiB each in HTTP/2 and TLS", \
                      2 * LIMIT_PEER_LINKS * 256 * KiB, 4) \
        LIMIT_PRODUCT("proxy", "connections passed through to auth: the last read, each way", \
                      LIMIT_PASSED * (LIMIT_PASSED_HELLO + LIMIT_PASSED_READ), 576) \
        LIMIT_PRODUCT("proxy", "the same of one source", LIMIT_PASSED_PER_SOURCE * (LIMIT_PASSED_HELLO + LIMIT_PASSED_READ), 72) \
        LIMIT_PRODUCT("proxy", "the same if all came inside upgraded connections", LIMIT_PASSED * (LIMIT_PASSED_UPGRADED + LIMIT_PASSED_READ), 896) \
        LIMIT_PRODUCT("proxy", "upgraded connections of unauthenticated peers: first bytes, bytes ahead of the answer, unread answers to WebSocket and to both layers of TLS", \
                      (LIMIT_CONNECTIONS_UNAUTHENTICATED + LIMIT_CONNECTIONS_RESERVE) * (LIMIT_PASSED_UPGRADED + LIMIT_HTTP1_AHEAD + LIMIT_WEBSOCKET_CONTROL + 2 * LIMIT_TLS_CONTROL), 256) \
        LIMIT_PRODUCT("proxy", "heads of requests of unauthenticated peers that may be for an application (an incomplete one by HTTP/2), and the data sent ahead of the answer", \
                      (LIMIT_CONNECTIONS_UNAUTHENTICATED + LIMIT_CONNECTIONS_RESERVE) * (LIMIT_HTTP_HEAD + LIMIT_HTTP1_AHEAD), 192) \
        LIMIT_PRODUCT("ssh", "streams of connections: a budget", LIMIT_STREAM_MEMORY_NODE, 128) \
        LIMIT_PRODUCT("ssh", "unacknowledged events: a bound for all, and a share that each connection has in any case", \
                      LIMIT_SSH_UNACKED_ALL + LIMIT_SSH_CONNECTIONS * (LIMIT_SSH_UNACKED_ALL / LIMIT_SSH_CONNECTIONS), 512) \
        LIMIT_PRODUCT("ssh", "recordings that wait for the disk: a bound for all, and one read of one terminal (six times that in a recording)", \
                      LIMIT_SPOOL_WAITING_ALL + 6 * LIMIT_SESSION_RECEIVED, 65) \
        LIMIT_PRODUCT("ssh", "incomplete messages of programs of sessions, one of each session", \
                      LIMIT_SSH_CONNECTIONS * LIMIT_SSH_SESSIONS * LIMIT_SESSION_RECEIVED, 512) \
        LIMIT_PRODUCT("ssh", "unacknowledged recordings on the disk: a budget", (long long)LIMIT_SPOOL_MIB * MiB, 32768) \
        LIMIT_PRODUCT("ssh", "unidentified programs at the helper socket, 8 KiB each", 2 * LIMIT_HELPERS_UNKNOWN * 8 * KiB, 4)
/* clang-format on */

#endif
