/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of the SSH Service process, shared by ssh.c, connection.c and helper_check.c. Other files include ssh.h only.
 */
#ifndef SSH_SSH_SERVICE_H
#define SSH_SSH_SERVICE_H

#include "agent/agent.h"
#include "agent/lifecycle.h"
#include "base/budget.h"
#include "base/shares.h"
#include "base/map.h"
#include "ssh/ssh.h"
#include "tunnel/tunnel.h"

struct ssh_service {
        struct loop loop;
        struct service *service;
        const Cteleport__Internal__V1__Boot *boot;
        const Cteleport__V1__TeleportConfig *config; /* never NULL */
        const Cteleport__V1__SSHConfig *ssh_config;  /* never NULL */
        struct lifecycle life;
        struct budget memory;   /* of bytes buffered in connections */
        struct buf roots;       /* contents of SSL_CERT_FILE and SSL_CERT_DIR; empty when this process can open them */

        struct agent *agent;
        struct shares user_connections; /* number of connections, by user */
        struct map connections; /* by ID */
        struct helper_check *checks;
        struct helpers *helpers;
        struct spool *spool;
};

/* ---- ssh.c ---------------------------------------------------------------------------------------------- */
/* Called when a connection has been freed: while draining, the last one ends the process. */
void ssh_connection_gone(struct ssh_service *s);

/* ---- connection.c --------------------------------------------------------------------------------------------------- */
/* Handles a CONNECT received through a tunnel. */
void connection_begin(struct ssh_service *s, struct tunnel_incoming *v, const struct tunnel_request *request);
/* The incoming stream of a connection that was not answered yet has ended. */
void connection_client_gone(struct ssh_service *s, struct tunnel_incoming *v);
/* Handles a report of the supervisor about an sshd (proto/internal.proto); fd is owned, or -1 if the message has none. */
void connection_on_sshd(struct ssh_service *s, const Cteleport__Internal__V1__SshControl *report, int fd);
/* Ends all connections and shows the reason on their terminals. */
void connections_end(struct ssh_service *s, const char *why);
/* Frees the remaining connections at the end of the process, without callbacks. To be called after helpers_close(). */
void connections_free(struct ssh_service *s);

#endif
