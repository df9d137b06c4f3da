/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations shared by the supervisor's sources: supervisor.c (main flow), children.c, manager.c, measure.c, reload.c, setup.c, sign.c,
 * sshd.c, stop.c. */
#ifndef SUPERVISOR_INTERNAL_H
#define SUPERVISOR_INTERNAL_H

#include <sys/resource.h>

#include "base/limits.h"
#include "base/metrics.h"
#include "supervisor/child.h"
#include "supervisor/helper_check.h"
#include "supervisor/supervisor.h"
#include "supervisor/web_certificate.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "os/cgroup.h"

struct supervisor;
struct sshd;

enum child_state { CHILD_ABSENT, CHILD_PAUSING, CHILD_STOPPED, CHILD_STARTING, CHILD_READY, CHILD_EXITED };

struct child {
        struct supervisor *sup;
        const struct service_process *row;
        enum child_state state;
        pid_t pid;
        int control_fd;     /* -1 when there is none */
        uv_poll_t *control; /* on control_fd; freed by its close callback */
        struct timer *restart; /* of a former process: until it is ordered again to leave */
        struct backoff pause;
        struct instant started, relinked;
        uint64_t starts;
        unsigned unanswered; /* pings without an answer */
        unsigned dead_ticks; /* successive checks that found no process */
        bool was_reported; /* it was ordered to end */
        bool has_reported_fatal;
        bool is_replaced; /* it was ordered to end for a new process, which starts when it has ended */
        struct child *former; /* of a child that a reload starts beside its former process: that one, until the new one is ready */
        struct child *next;   /* in s->draining */
        char *helpers_address; /* of a process with SERVICE_REQUEST_SSHD */
};

/*
 * A link between two processes; a waiting end is for a process that has not started; the other end belongs to a running
 * process.
 */
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

/* What accounts.c has looked up. */
struct accounts {
        struct {
                const struct service_process *process;
                uid_t uid; /* 0: an error, or the service stays the user that the supervisor runs as */
                gid_t gid;
        } rows[SERVICES_PROCESSES_MAX];
        size_t count;
        bool needs_authorize;
        const char *authorize_user; /* the user as which sshd runs ssh-authorize; NULL: no suitable account */
        uid_t authorize_uid;
};

struct supervisor {
        const struct launch *launch; /* in force */
        struct launch *loaded;       /* the same if a reload has loaded it, owned; NULL: the one of the start */
        struct reload *reload;       /* in progress; NULL: none */
        int reload_fd;               /* listening, for `teleport reload`; -1: none */
        uv_poll_t *reload_poll;      /* on reload_fd; freed by its close callback */
        struct timer *reload_pause;  /* until it is polled again, after descriptors were missing */
        struct reload_client {
                int fd;
                bool is_served; /* by the reload in progress, not by the next one */
        } reload_clients[LIMIT_RELOAD_CLIENTS];
        size_t reload_client_count;
        /* the program that children are started from */
        struct program {
                int fd; /* -1: the one of this process */
                struct stat stat;
        } program;
        struct upgrade *upgrade; /* a check of another program that runs; NULL: none */
        struct loop loop;
        int lock_fd, log_fd;
        int journal_fd; /* -1: the log does not go to the journal */
        struct listener listeners[SERVICES_PROCESSES_MAX];
        size_t listener_count;
        char *host_id; /* content of data_dir/host_uuid; "" on a host that has not joined yet */
        char *new_host_id; /* ID that is to be written to data_dir/host_uuid; NULL: none */
        bool is_host_id_reported; /* a failed write was reported */
        struct timer *host_id_pace; /* runs for a while after each write or failed write */
        struct web_keypairs keypairs;
        struct child children[SERVICES_PROCESSES_MAX]; /* in the order of start; CHILD_ABSENT if this host does not need it */
        size_t child_count;
        struct child *draining; /* former processes that finish their connections; owned */
        struct accounts accounts;
        struct pairing pairings[SERVICES_LINKS_MAX];
        size_t pairing_count;
        struct signal_watch *watches[8];
        struct timer *hold; /* keeps the loop running while only the end of a child is awaited */
        struct timer *keypairs_timer;
        bool was_ready; /* all children were ready once */

        /* the process that signs for a join of `instance`, and the next one it has requested */
        struct {
                pid_t pid; /* 0: none runs */
                struct timer *timeout; /* time until it is ordered to end, then until it is killed; NULL: not requested yet */
                bool was_reported;
                bool is_wanted;
                int64_t number; /* number of the request */
                struct timer *pause;
                unsigned burst; /* of LIMIT_AWS_SIGN_BURST */
                struct instant last;
        } sign;

        /* memory of the metrics, by the number of the process; -1: none */
        struct {
                int fds[METRIC_PROCESSES], readers[METRIC_PROCESSES];
                struct timer *pace;
        } metrics;

        /* of the SSH Service */
        struct sshd *sshds;
        size_t sshd_count;
        struct own_program own;  /* this program, for sshd's options */
        const char *sftp_server; /* NULL: there is none */
        bool has_pam;            /* this host's sshd uses PAM */
        struct cgroups cgroups;  /* for the sessions of users */
        int preload_fd;          /* the library for sshd, a sealed file in memory; 0: not made */
        struct {
                int kind;
                struct rlimit value;
        } limits[2]; /* as at the start of this program */

        /* reports to the service manager */
        struct {
                char *membership; /* as reported by `instance`, escaped; NULL: nothing was reported */
                char *sent;       /* the last state */
                struct timer *pace; /* runs after each report */
                bool is_stale;      /* something has changed since the last report */
                struct timer *watchdog; /* NULL: the manager expects no WATCHDOG=1 */
                struct duration tick;
        } manager;

        enum { RUNNING, DRAINING, STOPPING } end;
        struct timer *end_timer;  /* limits the whole stop */
        struct timer *step_timer; /* limits the stop of one child */
        struct error *failure;    /* reason of the end; NULL: a signal */
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
/* The child that may send a request (enum service_request); NULL when there is none in the table. */
struct child *supervisor_requester(struct supervisor *s, unsigned request);
/* Whether this host keeps the state of the cluster. */
bool supervisor_keeps_state(const struct supervisor *s);

/* ---- accounts.c --------------------------------------------------------------------------- */
/* Looks up the accounts that this host's services need. Blocks. */
struct error *supervisor_look_up_accounts(struct supervisor *s) MUST_USE;
/* The IDs of the process, as they were looked up last; 0: see struct accounts. */
void supervisor_account_of(const struct supervisor *s, const struct service_process *process, uid_t *ret_uid, gid_t *ret_gid);

/* ---- setup.c: everything before the first child ------------------------------------------ */
struct error *supervisor_prepare(struct supervisor *s) MUST_USE;
/* Reads data_dir/host_uuid into s->host_id; creates it if this host has the auth service. */
struct error *supervisor_read_host_id(struct supervisor *s) MUST_USE;
/* Stores the ID with which `instance` joined in data_dir/host_uuid; repeats failed writes at a bounded rate. */
void supervisor_take_host_id(struct supervisor *s, const char *host_id);
/* Opens the log files of all services again, as they may have been renamed. */
void supervisor_reopen_log(struct supervisor *s);
/* Applies severity and format of teleport.log, of the settings in force, to all processes. */
void supervisor_change_log(struct supervisor *s);
/* Closes the listening sockets, which would otherwise queue connections after the services have closed theirs. */
void supervisor_close_listeners(struct supervisor *s);

/* ---- children.c: starting, receiving, reaping --------------------------------------------- */
struct error *supervisor_start(struct child *c) MUST_USE;
/* Reaps ended children and handles each. */
void supervisor_reap(struct supervisor *s);
/* Sends a message without a descriptor. */
void supervisor_send(struct child *c, const Cteleport__Internal__V1__Control *control);
/* The same with a copy of fd unless that is negative. Returns whether it was sent. */
bool supervisor_send_with(struct child *c, const Cteleport__Internal__V1__Control *control, int fd);
void supervisor_send_keypairs(struct supervisor *s);
/* Informs the children whose row asks for it of SIGHUP. */
void supervisor_send_reload(struct supervisor *s);
/* Sends s->log_fd, and level and format of the log, to all running children. */
void supervisor_send_log(struct supervisor *s);
/* Orders a running child to end for a new process, which is started as soon as it has ended. */
void supervisor_replace(struct child *c);
/* Moves a running process to s->draining, so that the child can be started beside it; c->former is that process. */
void supervisor_set_aside(struct child *c);
/* Ends that: the former process finishes its connections, or, after the new one has ended, takes its place again. */
void supervisor_drain_former(struct child *c);
void supervisor_take_back(struct child *c);
void supervisor_release_draining(struct supervisor *s);
/* Starts a child, whose former process has ended, after its dependents have ended too. */
void supervisor_start_again(struct child *c);

/* ---- sshd.c: sshd for the SSH Service --------------------------------------------------------- */
/* Stores the current resource limits; to be called before they are changed. */
void supervisor_note_limits(struct supervisor *s);
/* Checks that this host has the programs and files that the SSH Service needs. FAILED_PRECONDITION with a hint. */
struct error *supervisor_prepare_sshd(struct supervisor *s) MUST_USE;
/* Opens a listening socket for the process `ssh` that is about to start, and stores its name in ssh->helpers_address. */
struct error *supervisor_open_helpers(struct child *ssh, int *ret_fd) MUST_USE;
/* Requests of a process `ssh`, about its own connections. */
void supervisor_start_sshd(struct child *ssh, const char *connection_id);
void supervisor_stop_sshd(struct child *ssh, const char *connection_id);
/* pidfd: of the process to check, borrowed; -1 if the kernel does not support it. */
void supervisor_check_helper(struct child *ssh, const char *connection_id, int64_t pid, int pidfd);
/* Orders the sshd processes of a process `ssh` that has ended to end; those that do not end in time are killed. */
void supervisor_stop_sshd_of(struct supervisor *s, pid_t ssh);
void supervisor_kill_all_sshd(struct supervisor *s);
/* Reaps ended sshd processes; a stop that waits for the last one continues. */
void supervisor_reap_sshd(struct supervisor *s);
void supervisor_release_sshd(struct supervisor *s);

/* ---- sign.c: the process that holds AWS credentials for one join ------------------------------ */
/*
 * Handles a request of `instance` to start a signing process: `instance` gets the socket or an error. One process runs
 * at a time; a later request replaces a waiting one.
 */
void supervisor_sign(struct supervisor *s, int64_t number);
/* Ends the signing process when it is no longer needed, or at the end of the supervisor. */
void supervisor_stop_sign(struct supervisor *s);
void supervisor_kill_sign(struct supervisor *s);
/* Reaps the signing process if it has ended; a stop that waits for it continues. */
void supervisor_reap_sign(struct supervisor *s);
void supervisor_release_sign(struct supervisor *s);

/* ---- measure.c: metrics of the processes -------------------------------------------------------- */
/* Makes the memory of the metrics of each process if this host has the process that shows them. */
struct error *supervisor_open_metrics(struct supervisor *s) MUST_USE;
/* Begins to measure the processes every PACE_HEALTH_CHECK. */
void supervisor_watch_metrics(struct supervisor *s);
/* Adds the memory for a process that is about to start; the descriptors are borrowed. */
void supervisor_add_metrics(const struct child *c, struct child_fds *fds);
/* Records a change of c->state. */
void supervisor_note_phase(const struct child *c);
/* Records that this host begins to stop: it is not ready any more. */
void supervisor_note_stop(void);
/* Records when the first of the web certificates expires. */
void supervisor_show_web_end(const struct supervisor *s);
void supervisor_release_metrics(struct supervisor *s);

/* ---- manager.c: reports to the service manager -------------------------------------------------- */
/* To be called after each change of a service's state; sends a new STATUS= at a bounded rate. */
void supervisor_report_status(struct supervisor *s);
/* Takes the line with which `instance` describes the membership of this host. */
void supervisor_take_membership(struct supervisor *s, const char *text);
/* Sends READY=1. From now on also WATCHDOG=1, if the manager expects that, and checks the services. */
void supervisor_report_ready(struct supervisor *s);
/* Sends STOPPING=1. */
void supervisor_report_stopping(struct supervisor *s);
void supervisor_release_manager(struct supervisor *s);

/* ---- reload.c: new settings for a running supervisor ----------------------------------------- */
/*
 * Reads the settings again and applies them, or refuses them as a whole; at most one reload runs at a time, and a request during
 * one is done after it. The log has the result.
 */
void supervisor_reload(struct supervisor *s);
/* Whether a reload waits until this child, which it has started, is ready. */
bool supervisor_reload_awaits(const struct child *c);
/* Notes why an awaited child is killed (owned). */
void supervisor_reload_note(struct child *c, struct error *reason);
/* A child was started, perhaps not by the reload that is applied: it has the new settings and program, and loses them if they are reverted. */
void supervisor_reload_started(const struct child *c);
/* A child is ready; returns whether a reload awaited it. */
bool supervisor_reload_ready(struct child *c);
/* A child has ended; returns whether the reload handles that. Otherwise the child is restarted as usual. */
bool supervisor_reload_ended(struct child *c, const char *exit_text);
/*
 * upgrade.c. Opens the program file on the disk if it is another one than s->program (*ret_fd -1: it is not), and runs it to check
 * that it starts with the configuration, and that its processes and those of this program understand each other; checked() gets the
 * program (fd owned), or the error (owned).
 */
struct error *supervisor_find_program(const struct supervisor *s, struct program *ret) MUST_USE;
struct error *supervisor_check_program(struct supervisor *s, struct program program,
                                       void (*checked)(struct supervisor *s, struct program program, struct error *err)) MUST_USE;
/* Reaps the check if it has ended. */
void supervisor_reap_check(struct supervisor *s);
/* Ends the check without a call of checked(). */
void supervisor_end_check(struct supervisor *s);
/* Opens data_dir/reload.sock: each client that connects requests a reload, and gets the result (reload_result.h). */
struct error *supervisor_open_reload(struct supervisor *s) MUST_USE;
/* Serves it from now on. */
void supervisor_serve_reload(struct supervisor *s);
/* The clients that have connected are served by the reload that begins; later ones by the next. */
void supervisor_serve_reload_clients(struct supervisor *s);
/* Sends the result to the clients that the reload has served. Returns whether others wait for the next one. */
bool supervisor_answer_reload_clients(struct supervisor *s, const struct error *err, struct str text);
void supervisor_close_reload(struct supervisor *s);
/* Ends a reload without a result, as the supervisor stops. */
void supervisor_end_reload(struct supervisor *s);

/* ---- stop.c: the end ------------------------------------------------------------------------ */
/* Begins to stop; supervisor_run() will return failure (owned). A second call while stopping kills the children. */
void supervisor_stop(struct supervisor *s, struct error *failure);
void supervisor_drain(struct supervisor *s);
/* Called when a child has ended during the stop: continues with the next one, and stops the loop after the last. */
void supervisor_stop_next(struct supervisor *s);

/* ---- supervisor.c -------------------------------------------------------------------------------------- */
/* Called when a child has reported READY. */
void supervisor_on_ready(struct supervisor *s);
/* Whether a service of this host has the private keys of the web port. */
bool supervisor_has_web_keys(const struct supervisor *s);
/* Loads the files of https_keypairs again, and starts the timer for the next time; logs the result. */
void supervisor_reload_keypairs(struct supervisor *s);

#endif
