/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small messages with an optional descriptor over a Unix socket, as between the supervisor and its children.
 */
#ifndef OS_FDPASS_H
#define OS_FDPASS_H

#include "base/error.h"
#include "base/str.h"

enum { FDPASS_MESSAGE_MAX = 64 * KiB };

/* A connected SOCK_SEQPACKET pair, CLOEXEC. */
struct error *fdpass_pair(int *ret_a, int *ret_b) MUST_USE;

/* Sends a message and, unless fd is negative, a copy of fd. */
struct error *fdpass_send(int sock, struct str message, int fd) MUST_USE;

/*
 * Receives one message into buffer (capacity bytes); *ret_fd is -1 without a descriptor (CLOEXEC otherwise). *ret_len
 * is 0 at the end of the stream. UNAVAILABLE when it would block.
 */
struct error *fdpass_receive(int sock, char *buffer, size_t capacity, size_t *ret_len, int *ret_fd) MUST_USE;

#endif
