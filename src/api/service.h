/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Being a child of the supervisor: what a service process was given, and the few words it exchanges
 * with its parent.
 *
 * Descriptor 3 holds the Boot message, descriptor 4 is the control socket, from 5 on come the
 * descriptors that Boot names.
 */
#ifndef API_SERVICE_H
#define API_SERVICE_H

#include "api/child_message.h"
#include "base/arena.h"
#include "base/error.h"
#include "internal.pb-c.h"
#include "loop/loop.h"
#include "services/services.h"

enum { SERVICE_FD_BOOT = 3, SERVICE_FD_CONTROL = 4, SERVICE_FD_FIRST = 5 };

/* Each is called from the loop; one that is NULL is not of interest (a descriptor is closed then). */
struct service_events {
        void (*on_stop)(void *ctx);  /* end now, orderly; also when the supervisor is gone. Called once */
        void (*on_drain)(void *ctx); /* finish what is open, take nothing new, then end */
        /* The sibling process `name` was started again: fd (owned) is the new connection to it. */
        void (*on_link)(void *ctx, const char *name, int fd);
        /*
         * A message for this service only (control->own): borrowed until it returns, as secrets in it are wiped then. fd is
         * owned, or -1 when none came.
         */
        void (*on_own)(void *ctx, const Cteleport__Internal__V1__Control *control, int fd);
};

struct service {
        struct arena *arena;                       /* lives as long as the process; not for secrets */
        const Cteleport__Internal__V1__Boot *boot; /* lives as long as the process */
        const struct service_process *row;         /* of the table of services */
        struct loop *loop;
        const struct service_events *events;
        void *ctx;
        int *fds; /* by position in boot->fds; -1 once taken */
        uv_poll_t *control;
};

/* Reads Boot, hardens the process, sets up logging with the service's name as component. */
struct error *service_begin(struct service *s) MUST_USE;

/* The inherited descriptor of that name, owned by the caller from now on; -1 when there is none. */
int service_take_fd(struct service *s, const char *name);

/* Puts fd (owned) in the place of the inherited one of that name, for service_take_fd. */
void service_put_fd(struct service *s, const char *name, int fd);

/* Listens to the supervisor on the loop, which goes on running until STOP has come or service_end. */
struct error *service_control(struct service *s, struct loop *l, const struct service_events *events,
                              void *ctx) MUST_USE;

/* Reports to the supervisor that this service is ready. */
void service_ready(struct service *s);

/*
 * Requests a new link to the sibling process `name` from the supervisor; it comes by on_link. The request has no effect while
 * the sibling is dead: its next start brings a link. So repeat it, every PACE_RELINK.
 */
void service_relink(struct service *s, const char *name);

/* Tells the supervisor that starting this service again would not help (err is owned), for its own log and exit. */
void service_fatal(struct service *s, struct error *err);

/* Sends a request that the row of this process allows. */
void service_send(struct service *s, const struct child_message *m);
/* The same with a copy of fd, unless that is negative. */
void service_send_with(struct service *s, const struct child_message *m, int fd);

/* The address at which a service of this host accepts TCP connections; "" when it does not run here. */
const char *service_listen_addr(const Cteleport__Internal__V1__Boot *boot, const char *service);
/* Whether a service is enabled on this host. */
bool service_is_here(const Cteleport__Internal__V1__Boot *boot, const char *service);

/* Ends listening, wipes the secrets that came with Boot, and frees. The loop still has to turn once for a handle to
 * close. */
void service_end(struct service *s);

/* Sets the level and format of this process's log from teleport.log, to fd (borrowed). Defaults: INFO, text. */
void service_log_setup(const Cteleport__V1__Config *config, int fd);

/*
 * The mains of the services; each runs its loop until it is ordered to stop and returns the exit code.
 * (signer and sts have theirs in signer/signer.h and sts/sts.h; `teleport` wraps them.)
 */
int auth_main(struct service *s);
int proxy_main(struct service *s);
int instance_main(struct service *s);
int ssh_main(struct service *s);
int labels_main(struct service *s);

#endif
