/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversion of socket addresses from and to text. Private to the sources of net/socket.h.
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/str.h"

struct sock_address {
        struct sockaddr_storage storage;
        socklen_t len;
};

/* An IPv4 or IPv6 literal and a port; false if host is not a literal. */
bool sock_address_of_literal(struct str host, int port, struct sock_address *ret);

/* "1.2.3.4:5", "[::1]:5", "[fe80::1%eth0]:5" in ADDRESS_TEXT_MAX bytes; "" for other families. */
void sock_address_text(const struct sock_address *a, char *ret_text);

#endif
