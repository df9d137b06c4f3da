/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service side of the supervisor: descriptors and settings that a service process receives at its start,
 * and the messages it exchanges with the supervisor.
 *
 * Descriptor 3 holds the Boot message, descriptor 4 is the control socket, and the descriptors from 5 on are
 * listed in Boot.
 */
#ifndef API_SERVICE_H
#define API_SERVICE_H

#include "api/child_message.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "internal.pb-c.h"
#include "loop/loop.h"
#include "services/services.h"

#define SERVICE_FD_JOURNAL "journal" /* name of the descriptor for log_to_journal(); absent if the log goes elsewhere */

/*
 * The version of Boot, of the messages between supervisor and services, of those between services of a host and of those with the
 * programs that sshd starts. Raised with each change that a process of the former version would not understand: during an upgrade,
 * processes of two programs run on a host, but only if their versions are equal.
 */
#define SERVICE_PROTOCOL "1"

enum { SERVICE_FD_BOOT = 3, SERVICE_FD_CONTROL = 4, SERVICE_FD_FIRST = 5 };

/* Each callback is called from the loop. Unless stated otherwise, a message whose callback is NULL is ignored and its descriptor closed. */
struct service_events {
        void (*on_stop)(void *ctx);  /* stop now, cleanly; also called when the supervisor has ended. Called once */
        void (*on_drain)(void *ctx); /* finish open work, accept no new work, then end. NULL: on_stop */
        /*
         * A new process of this service takes over. It starts when this one has ended, unless the row has `.overlaps`: then it runs
         * already, and this one finishes its connections first; the second call says that the new one has all its tunnels. NULL: on_stop.
         */
        void (*on_replace)(void *ctx);
        void (*on_reload)(void *ctx); /* the operator has sent SIGHUP; only for processes whose row has `.reloads` */
        /* The sibling process `name` was started again: fd (owned) is the new connection to it. */
        void (*on_link)(void *ctx, const char *name, int fd);
        /*
         * A message for this service only (control->own): borrowed until the callback returns; secrets in it
         * are wiped then. fd is owned, or -1 when the message had none.
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

/* Replaces the inherited descriptor of that name by fd (owned); service_take_fd() then returns it. */
void service_put_fd(struct service *s, const char *name, int fd);

/* Receives messages of the supervisor on the loop, which runs until STOP was received or service_end() is called. */
struct error *service_control(struct service *s, struct loop *l, const struct service_events *events,
                              void *ctx) MUST_USE;

/* Reports to the supervisor that this service is ready. */
void service_ready(struct service *s);

/*
 * Requests a new link to the sibling process `name` from the supervisor; on_link receives it. The request has
 * no effect while the sibling is not running, whose next start creates a link anyway. Callers repeat it every
 * PACE_RELINK.
 */
void service_relink(struct service *s, const char *name);

/* Reports to the supervisor that restarting this service would not help. err is owned; the supervisor logs it and exits. */
void service_fatal(struct service *s, struct error *err);

/* Sends a request that the row of this process allows. */
void service_send(struct service *s, const struct child_message *m);
/* The same as service_send(), with a copy of fd unless fd is negative. */
void service_send_with(struct service *s, const struct child_message *m, int fd);

/* The address at which a service of this host accepts TCP connections; "" when it does not run here. */
const char *service_listen_addr(const Cteleport__Internal__V1__Boot *boot, const char *service);
/* The same of the listener that has this name in the table of services; "" when it is not open. */
const char *service_listener_addr(const Cteleport__Internal__V1__Boot *boot, const char *service, const char *listener);
/* Whether a service is enabled on this host. */
bool service_is_here(const Cteleport__Internal__V1__Boot *boot, const char *service);

/* Closes the control socket, wipes the secrets of Boot, and frees. The loop has to run one more turn, to close
 * a handle. */
void service_end(struct service *s);

/*
 * The level and format of the log from teleport.log; the log is written to fd (borrowed). Defaults: INFO, text.
 * service_log_setup() applies them to this process.
 */
struct log_options service_log_options(const Cteleport__V1__Config *config, int fd);
void service_log_setup(const Cteleport__V1__Config *config, int fd);

/*
 * The mains of the services; each runs its loop until it is ordered to stop and returns the exit code.
 * (signer and sts have theirs in signer/signer.h and sts/sts.h; `teleport` wraps them.)
 */
int auth_main(struct service *s);
int proxy_main(struct service *s);
int instance_main(struct service *s);
int ssh_main(struct service *s);
int app_main(struct service *s);
int labels_main(struct service *s);
int acme_main(struct service *s);
int diag_main(struct service *s);

#endif
