/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets as streams: listening, accepting, connecting; TCP, Unix and inherited descriptors.
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <sys/types.h>

#include "base/clock.h"
#include "net/stream.h"

struct loop;
struct watch;

/* Longest text of an address: "[ipv6%scope]:port". */
enum { ADDRESS_TEXT_MAX = 80 };

/*
 * Opens a listening TCP socket without a loop, as the supervisor does for its children. `address` is "host:port" or
 * "[v6]:port"; the host is a literal, "localhost" or empty/0.0.0.0/:: for all; port 0 lets the kernel pick. CLOEXEC,
 * REUSEADDR. `*ret_address` (ADDRESS_TEXT_MAX bytes) gets the bound address.
 */
struct error *socket_listen_tcp(struct str address, int *ret_fd, char *ret_address) MUST_USE;

/*
 * The same for a Unix socket, mode 0600, replacing a stale one; ALREADY_EXISTS if a process accepts connections on it. The path may be longer than
 * the address of a socket: its directory is then opened, and named by /proc/self/fd.
 */
struct error *socket_listen_unix(const char *path, int *ret_fd) MUST_USE;
/* Connects to such a socket, without a loop. CLOEXEC, blocking. */
struct error *socket_connect_unix(const char *path, int *ret_fd) MUST_USE;

/* A connected pair of stream sockets, CLOEXEC. */
struct error *socket_pair(int *ret_a, int *ret_b) MUST_USE;

/* A stream over a connected socket, owned from now on. Works for TCP, Unix and socketpairs. */
struct stream *socket_stream(struct loop *l, int fd) MUST_USE;
/* Limits the bytes that on_read of a stream of socket_stream() gets at once; otherwise LOOP_BUFFER. */
void socket_stream_limit_reads(struct stream *s, size_t most);

/*
 * Whether an address text with port is of a network that is not the Internet: loopback, private (RFC 1918, RFC 4193), shared
 * (RFC 6598) or link-local.
 */
bool address_is_private(const char *address);

/* Options of every TCP connection: no delay, and checks that the peer is still there (TIMEOUT_TCP_KEEPALIVE). */
void socket_set_tcp_options(int fd);

/* Address of the peer in ADDRESS_TEXT_MAX bytes, "" for Unix sockets. */
void socket_peer_address(int fd, char *ret_text);

/* Whether `peer`, the address of the peer of a TCP socket with port, has the same IP address as the socket: it is this machine. */
bool socket_is_own(int fd, const char *peer);

/* Peer credentials of a Unix socket (SO_PEERCRED). */
struct error *socket_peer_cred(int fd, uid_t *ret_uid, gid_t *ret_gid, pid_t *ret_pid) MUST_USE;

/*
 * A pidfd of the process that connected (SO_PEERPIDFD, Linux 6.5; owned by the caller); unlike process IDs it is never
 * reused. *ret_fd -1: not supported by this kernel. UNAVAILABLE: the process has ended.
 */
struct error *socket_peer_pidfd(int fd, int *ret_fd) MUST_USE;

/*
 * Accepts on a listening socket (owned) until listener_close. On EMFILE it closes the new connection, using a spare
 * descriptor, and pauses. `accepted` owns fd: non-blocking, CLOEXEC, TCP_NODELAY.
 */
struct listener;
struct listener *listener_new(struct loop *l, int fd, void (*accepted)(void *ctx, int fd, const char *peer),
                              void *ctx) MUST_USE;
void listener_close(struct listener *li);

/*
 * Connects to "host:port": resolves on the pool, tries the addresses in order, within `within`. done is called exactly
 * once, from the loop, with a connected fd (owned by it; non-blocking, CLOEXEC, TCP_NODELAY) or an error (fd -1).
 * Addresses of both families alternate, the next one starts after TIMEOUT_CONNECT_NEXT without an answer, and the first
 * connection is used (RFC 8305).
 */
struct dial;
struct dial *dial_start(struct loop *l, struct str address, struct duration within,
                        void (*done)(void *ctx, int fd, struct error *err), void *ctx) MUST_USE;
/* Calls done with CANCELLED unless it was called already. */
void dial_cancel(struct dial *d);
/* Reports the lookup, if there is one, and the connection to w, borrowed until done; to be called right after dial_start(). */
void dial_watch(struct dial *d, const struct watch *w);

/*
 * Connects only to addresses for which permits() is true: it is called with each address that was found, right before it is used. If none is
 * left, the error is PERMISSION_DENIED. To be called right after dial_start(); ctx is borrowed until done.
 */
struct ip_address;
void dial_permit(struct dial *d, bool (*permits)(const void *ctx, const struct ip_address *ip), const void *ctx);

/*
 * Splits "host:port", "[v6]:port", or "host", "v6", "[v6]" (default_port then; -1: a port is required). The host must
 * be a valid name or literal (names.h), the port 0 to 65535. A name whose last label is a number is refused, as the
 * resolver would take it for an IPv4 address ("127.1"). host borrows from address.
 */
struct error *address_split(struct str address, int default_port, struct str *ret_host, int *ret_port) MUST_USE;

/* INVALID_ARGUMENT for what address_split() refuses, and for port 0, at which no server is. A port may be absent. */
struct error *address_check_server(struct str address) MUST_USE;

/*
 * The address at which this machine dials a local listener on listen_addr: the loopback address for a wildcard address.
 * NULL when listen_addr is malformed; the caller frees.
 */
char *address_to_dial(struct str listen_addr, int default_port) MUST_USE;

#endif
