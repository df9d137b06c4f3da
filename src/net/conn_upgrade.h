/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether connections to an address need the connection upgrade (net/transport.h), because a layer 7 load balancer in
 * front of the cluster ends TLS: the setting of the environment, and what this process has learned from its attempts.
 */
#ifndef NET_CONN_UPGRADE_H
#define NET_CONN_UPGRADE_H

#include "base/error.h"
#include "base/str.h"

enum conn_upgrade {
        CONN_UPGRADE_DETECT, /* not set for this address: a direct attempt decides */
        CONN_UPGRADE_ALWAYS,
        CONN_UPGRADE_NEVER,
};

/*
 * Reads a setting for host:port: a list, separated by ',' or ';', of "yes" or "no" for all addresses and of
 * "host[:port]=yes" or "=no" for one. A line for the address precedes one for all; of several such lines the first counts.
 * Addresses that the list does not name are detected. NULL or empty: not set. INVALID_ARGUMENT for any other text.
 */
struct error *conn_upgrade_choose(const char *setting, struct str host, int port, enum conn_upgrade *ret) MUST_USE;

/* The same with TELEPORT_TLS_ROUTING_CONN_UPGRADE of the environment. */
struct error *conn_upgrade_of_environment(struct str host, int port, enum conn_upgrade *ret) MUST_USE;

/* Whether the last connection to "host:port" needed the upgrade. */
bool conn_upgrade_is_known(struct str address);
/* Notes it for this process: LIMIT_UPGRADE_ADDRESSES addresses, the oldest is forgotten first. */
void conn_upgrade_learn(struct str address, bool is_needed);

#endif
