/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the SSH Service's process, for ssh.c, connection.c and helper_check.c. The other files need no more than ssh.h.
 */
#ifndef SSH_SSH_SERVICE_H
#define SSH_SSH_SERVICE_H

#include "agent/agent.h"
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
        bool is_stopping, is_draining;
        struct budget memory;   /* of what is on its way in connections */
        struct timer *end;      /* running: all that is left is to go */
        unsigned turns_left;    /* of the loop, at the very end */

        struct agent *agent;
        struct shares places; /* of connections, by user */
        struct map connections; /* by ID */
        struct helper_check *checks;
        struct helpers *helpers;
        struct spool *spool;
};

/* ---- ssh.c ---------------------------------------------------------------------------------------------- */
/* A connection is gone: while draining, the last one ends the process. */
void ssh_connection_gone(struct ssh_service *s);

/* ---- connection.c --------------------------------------------------------------------------------------------------- */
/* A CONNECT has come through a tunnel. */
void connection_begin(struct ssh_service *s, struct tunnel_incoming *v, const struct tunnel_request *request);
/* The incoming stream of a connection that was not answered yet has ended. */
void connection_client_gone(struct ssh_service *s, struct tunnel_incoming *v);
/* The supervisor reports about an sshd (proto/internal.proto); fd is owned, or -1 when none came. */
void connection_on_sshd(struct ssh_service *s, const Cteleport__Internal__V1__SshControl *report, int fd);
/* Ends all of them, saying why on their terminals. */
void connections_end(struct ssh_service *s, const char *why);
/* What is left of them, at the very end: nobody is called back any more. After helpers_close. */
void connections_free(struct ssh_service *s);

#endif
