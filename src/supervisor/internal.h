/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the supervisor's sources: supervisor.c (the story), children.c, setup.c,
 * sign.c, sshd.c, stop.c. */
#ifndef SUPERVISOR_INTERNAL_H
#define SUPERVISOR_INTERNAL_H

#include <sys/resource.h>

#include "base/limits.h"
#include "supervisor/child.h"
#include "supervisor/helper_check.h"
#include "supervisor/supervisor.h"
#include "supervisor/web_certificate.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "os/cgroup.h"

struct supervisor;
struct sshd;

enum child_state { CHILD_ABSENT, CHILD_PAUSING, CHILD_DORMANT, CHILD_STARTING, CHILD_READY, CHILD_GONE };

struct child {
        struct supervisor *sup;
        const struct service_process *row;
        enum child_state state;
        pid_t pid;
        int control_fd;     /* -1 when there is none */
        uv_poll_t *control; /* on control_fd; freed by its close callback */
        struct timer *restart;
        struct backoff pause;
        struct instant started, relinked;
        uint64_t starts;
        bool was_reported; /* to end */
        bool has_spoken_fatal;
};

/* A link between two processes; a waiting end is for one that has not started, the other end is with a living process. */
struct pairing {
        struct child *ends[2];
        int waiting[2]; /* -1: none */
};

/* A socket that is open for a process to accept on. */
struct listener {
        const struct service_process *process;
        const struct service_listener *row;
        int fd;                         /* -1 when it is closed */
        char address[ADDRESS_TEXT_MAX]; /* as bound; "" of a Unix socket */
};

struct supervisor {
        const struct launch *launch;
        struct loop loop;
        int lock_fd, log_fd;
        struct listener listeners[SERVICES_PROCESSES_MAX];
        size_t listener_count;
        char *host_id; /* "" on a host that has not joined yet; what data_dir/host_uuid holds */
        char *new_host_id; /* what it is to hold; NULL: that is written */
        bool is_host_id_reported; /* that it cannot be written */
        struct timer *host_id_pace; /* running: it was written, or was tried to be, a moment ago */
        struct web_keypairs keypairs;
        struct child children[SERVICES_PROCESSES_MAX]; /* in the order of start; those that this host does not need are CHILD_ABSENT */
        size_t child_count;
        struct pairing pairings[SERVICES_LINKS_MAX];
        size_t pairing_count;
        struct signal_watch *watches[8];
        struct timer *hold; /* keeps the loop running while only the death of a child is awaited */
        struct timer *keypairs_timer;
        bool was_ready; /* all of them, once */

        /* the process that signs for a join of `instance`, and the next one that it has asked for */
        struct {
                pid_t pid; /* 0: none lives */
                struct timer *timeout; /* until it is ordered to end, then until it is killed; NULL: not requested yet */
                bool was_reported;
                bool is_wanted;
                int64_t number; /* of what is wanted */
                struct timer *pause;
                unsigned burst; /* of LIMIT_AWS_SIGN_BURST */
                struct instant last;
        } sign;

        /* of the SSH Service */
        struct sshd *sshds;
        size_t sshd_count;
        char *helpers_address;   /* of the process `ssh` that lives, or lived last */
        struct own_program own;  /* for sshd's options */
        const char *sftp_server; /* NULL: there is none */
        bool has_pam;            /* this host's sshd */
        struct cgroups cgroups;  /* for what users run */
        int preload_fd;          /* the library for sshd, a sealed file in memory; 0: not made */
        const char *authorize_user; /* whom sshd runs ssh-authorize as; NULL: no account will do */
        uid_t authorize_uid;
        struct {
                int kind;
                struct rlimit value;
        } limits[2]; /* as this program found them */

        enum { RUNNING, DRAINING, STOPPING } end;
        struct timer *end_timer;  /* the whole of it */
        struct timer *step_timer; /* one child's part */
        struct error *failure;    /* why we end; NULL: by an order */
};

static inline bool child_lives(const struct child *c)
{
        return c->state == CHILD_STARTING || c->state == CHILD_READY;
}

static inline const char *child_name(const struct child *c)
{
        return c->row->name;
}

/* The child of that name; NULL when there is none in the table. */
struct child *supervisor_child(struct supervisor *s, const char *name);
/* The child that may make a request of us (enum service_request); NULL when there is none in the table. */
struct child *supervisor_requester(struct supervisor *s, unsigned request);
/* Whether this host keeps the state of the cluster. */
bool supervisor_keeps_state(const struct supervisor *s);

/* ---- setup.c: everything before the first child ------------------------------------------ */
struct error *supervisor_prepare(struct supervisor *s) MUST_USE;
/* Reads data_dir/host_uuid into s->host_id; creates it if this host has the auth service. */
struct error *supervisor_read_host_id(struct supervisor *s) MUST_USE;
/* `instance` joined as this host: data_dir/host_uuid gets its ID, at a bounded pace, until that succeeds. */
void supervisor_take_host_id(struct supervisor *s, const char *host_id);
/* Log files of the whole service, when they may have been moved away. */
void supervisor_reopen_log(struct supervisor *s);
/* Stops accepting: what listens here would go on queueing connections after the services have closed theirs. */
void supervisor_close_listeners(struct supervisor *s);

/* ---- children.c: starting, receiving, reaping --------------------------------------------- */
struct error *supervisor_start(struct child *c) MUST_USE;
/* Looks for the dead; handles each. */
void supervisor_reap(struct supervisor *s);
/* Sends a message without a descriptor. */
void supervisor_send(struct child *c, const Cteleport__Internal__V1__Control *control);
/* The same with a copy of fd, unless that is negative. Whether it was sent. */
bool supervisor_send_with(struct child *c, const Cteleport__Internal__V1__Control *control, int fd);
void supervisor_send_keypairs(struct supervisor *s);
/* Gives s->log_fd to all that live. */
void supervisor_send_log(struct supervisor *s);

/* ---- sshd.c: sshd for the SSH Service --------------------------------------------------------- */
/* Before limits are changed. */
void supervisor_note_limits(struct supervisor *s);
/* Looks whether this host has what the SSH Service needs. FAILED_PRECONDITION with a hint. */
struct error *supervisor_prepare_sshd(struct supervisor *s) MUST_USE;
/* A listening socket for the process `ssh` about to start, and its name in s->helpers_address. */
struct error *supervisor_open_helpers(struct supervisor *s, int *ret_fd) MUST_USE;
/* What `ssh` may ask for. */
void supervisor_start_sshd(struct supervisor *s, const char *connection_id);
void supervisor_stop_sshd(struct supervisor *s, const char *connection_id);
/* pidfd: of the process that is asked about, borrowed; -1 when the kernel gave none. */
void supervisor_check_helper(struct supervisor *s, const char *connection_id, int64_t pid, int pidfd);
/* Tells all of them to end; those that do not in time are killed. */
void supervisor_stop_all_sshd(struct supervisor *s);
void supervisor_kill_all_sshd(struct supervisor *s);
/* Looks for the dead; a loop that waits for the last to end goes on. */
void supervisor_reap_sshd(struct supervisor *s);
void supervisor_release_sshd(struct supervisor *s);

/* ---- sign.c: the process that holds AWS credentials for one join ------------------------------ */
/* A request of `instance`: it gets the socket, or the reason why there is none. One lives at a time; a later request replaces one that waits. */
void supervisor_sign(struct supervisor *s, int64_t number);
/* Nobody waits for it any more, or we end. */
void supervisor_stop_sign(struct supervisor *s);
void supervisor_kill_sign(struct supervisor *s);
/* Looks whether it is dead; a loop that waits for the last to end goes on. */
void supervisor_reap_sign(struct supervisor *s);
void supervisor_release_sign(struct supervisor *s);

/* ---- stop.c: the end ------------------------------------------------------------------------ */
/* Begins to end; failure (owned) is what supervisor_run will return. A second call while stopping kills. */
void supervisor_stop(struct supervisor *s, struct error *failure);
void supervisor_drain(struct supervisor *s);
/* A child ended while we end: goes on with the next, and stops the loop after the last. */
void supervisor_stop_next(struct supervisor *s);

/* ---- supervisor.c -------------------------------------------------------------------------------------- */
/* A child said READY. */
void supervisor_on_ready(struct supervisor *s);

#endif
