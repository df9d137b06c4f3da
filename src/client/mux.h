/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to nodes that stay for further commands: OpenSSH's ControlMaster, with a socket of ours.
 *
 *     <home>/mux/                    0700
 *         <profile>-<key>            socket of the master, made and removed by ssh
 *         <profile>-<key>.lock       locked (flock) by the process that carries the connection's bytes: one master for each key;
 *                                    holds the host ID that the connection leads to
 *
 * <profile> is of proxy, user and cluster; <key> of these, login, node, and the user's certificate, so that a connection of one
 * login is never used after another. The master keeps the connection TIMEOUT_MUX_IDLE after its last session.
 *
 * A socket is used only after whoever listens there has answered as a master does (OpenSSH's PROTOCOL.mux, version 4) and is
 * this user's. Nothing here is an error: what cannot be used is left aside, and a connection of its own is made.
 */
#ifndef CLIENT_MUX_H
#define CLIENT_MUX_H

#include "client/client.h"

struct mux {
        const char *path; /* of the socket; NULL: the connection is not to be shared */
        bool is_alive;    /* a master listens there; otherwise this process is the one to make it */
        int lock;         /* to be held as long as the connection stands; -1: none */
        const char *host_id; /* is_alive: of the node; what ssh verifies should the master go before it is reached */
};

/* Looks for the connection of this login on this node (canonical name or host ID). The path lies in the profile's arena. */
void mux_find(const struct profile *p, const char *login, const char *node, struct mux *ret);
void mux_release(struct mux *m);
/* The connection leads to this host: for those who find it. */
void mux_note_host(const struct mux *m, const char *host_id);

/* Whether a master answers at this path. */
bool mux_is_alive(const char *path);

/* Sessions of the master that has, or had, its socket at this path. */
size_t mux_sessions(const char *path);

/* The master takes no more sessions; one without sessions ends at once. */
void mux_end(const char *path);
/* The same for all masters of a profile, and removes what they left. user NULL: of the whole directory. */
void mux_end_all(const char *home, const char *web_addr, const char *user, const char *cluster);

#endif
