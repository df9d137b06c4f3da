/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared connections to nodes, which stay open for further commands: OpenSSH's ControlMaster with a socket path of ours.
 *
 *     <home>/mux/                    0700
 *         <profile>-<key>            socket of the master, made and removed by ssh
 *         <profile>-<key>.lock       locked (flock) by the process that carries the connection's bytes: one master for each key;
 *                                    contains the host ID of the connection
 *
 * <profile> is of proxy, user and cluster; <key> of these, login, node, and the user's certificate, so that a connection of one
 * login is never used after another. The master keeps the connection TIMEOUT_MUX_IDLE after its last session.
 *
 * A socket is used only after its listener has answered as an OpenSSH master (PROTOCOL.mux, version 4) and belongs to this
 * user. Failures are no errors: an unusable socket is ignored, and the command makes a connection of its own.
 */
#ifndef CLIENT_MUX_H
#define CLIENT_MUX_H

#include "client/client.h"

struct mux {
        const char *path; /* of the socket; NULL: the connection must not be shared */
        bool is_alive;    /* a master listens there; otherwise this process becomes the master */
        int lock;         /* to be held while the connection is open; -1: none */
        const char *host_id; /* is_alive: of the node; ssh verifies it if the master ends before the connection to it */
};

/* Looks for the connection of this login on this node (canonical name or host ID). The path lies in the profile's arena. */
void mux_find(const struct profile *p, const char *login, const char *node, struct mux *ret);
void mux_release(struct mux *m);
/* Stores the host ID of the connection for other processes. */
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
