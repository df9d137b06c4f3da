/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the two programs. Private to src/session.
 */
#ifndef SESSION_SESSION_INTERNAL_H
#define SESSION_SESSION_INTERNAL_H

#include <signal.h>
#include <sys/types.h>
#include <termios.h>

#include "session/channel.h"

/* ---- options ------------------------------------------------------------------------------------------- */

enum { SESSION_CAS_MAX = 8 };

struct session_options {
        const char *socket;     /* name of the abstract socket */
        const char *connection; /* ID of the SSH connection */
        const char *sftp;       /* the node's sftp-server; NULL: it has none */
        const char *shell;      /* the account's; NULL: as the password file says */
        const char *const *environment; /* the account's, as sshd made it; not ours: see sshd_preload.h */
        const char *greeting;   /* SESSION_GREETING; NULL: nothing was said */
        const char *host_id;    /* ssh-authorize: this host in the cluster; NULL: not said */
        const char *cas[SESSION_CAS_MAX]; /* ssh-authorize: pins of the cluster's host CAs */
        size_t ca_count;
        bool has_no_port_forwarding; /* ssh-authorize: whatever the cluster says */
        uid_t server;           /* who must listen there: root, but in tests */
};

/*
 * Reads --socket=…, --connection=…, --sftp=…, --shell=…, --host=…, --ca=… (as often as there are CAs) and --no-port-forwarding (argv[0] is
 * the command's name); other words are left to the caller. Nothing behind a word that is no option is one: it is foreign.
 */
struct error *session_options_read(int argc, char **argv, struct session_options *ret) MUST_USE;

/*
 * authorize.c: asks, and prints the line that sshd wants to `out`. Enters the sandbox of ssh-authorize on its way: what
 * the process has not opened by then it never will.
 */
struct error *session_authorize(const struct session_options *o, const char *login, const char *certificate, int out) MUST_USE;

/* ---- what runs ------------------------------------------------------------------------------------------ */

/* A session as sshd asked for it. Everything is borrowed from the options. */
struct session_request {
        const char *shell;   /* the account's */
        const char *const *environment;
        const char *greeting; /* for a login shell on a terminal; NULL: none */
        const char *kind;    /* "shell", "exec", "sftp", "scp" */
        const char *command; /* NULL: a shell */
        bool has_pty;
        bool is_subsystem;   /* sftp-server as the node's own sshd options start it */
};

/* Judges SSH_ORIGINAL_COMMAND (NULL: none). sftp_server: the node's, or NULL. Shell and environment are left to the caller. */
struct session_request session_request_of(const char *command, const char *sftp_server, bool has_pty);

/* The value of a variable, or NULL. */
const char *session_variable(const char *const *environment, const char *name);

/* What to execute, in the arena. */
struct session_program {
        const char *path;
        const char **argv;
        const char **envp;
};

/*
 * The login shell or a command in it, as sshd(8) starts them; the environment of the request without what is about sshd's
 * own end, and with what a session of Teleport has. tty: name of the terminal, or NULL.
 */
void session_program_plan(struct arena *a, const struct session_request *request, const Cteleport__Session__V1__Go *go,
                          const char *tty, struct session_program *ret);

/* ---- the child --------------------------------------------------------------------------------------------- */

/* How it ended. */
struct session_outcome {
        int code;     /* 128 + signal if one ended it */
        int signal;   /* or 0 */
        char reason[256]; /* why we ended it, or "" */
};

struct child {
        pid_t pid;
        int signals; /* signalfd; SIGCHLD and those that are for the session */
        sigset_t old_mask;
        bool has_ended;
        int status; /* of waitpid */
};

/* Takes the signals over. To be called before child_start. */
struct error *child_prepare(struct child *c) MUST_USE;

/*
 * Starts the program in a process group of its own. tty >= 0: it becomes the terminal of a new session and descriptors
 * 0 to 2; otherwise 0 and 1 stay and err >= 0 becomes 2.
 */
struct error *child_start(struct child *c, const struct session_program *program, int tty, int err) MUST_USE;

/* Takes one signal; 0 when there is none. SIGCHLD has been dealt with when it is returned. */
int child_signal(struct child *c);

/* Kills the whole group, which may be gone already. */
void child_kill(const struct child *c, int signum);

/* Gives it until `within` to end, then kills it; afterwards it has ended. */
void child_end(struct child *c, struct duration within);

void child_outcome(const struct child *c, struct session_outcome *ret);

/*
 * Signals stay blocked: whatever comes between the end of the child and that of this process, such as the hang-up of a
 * terminal whose end was seen first, must not keep the end of the session from being reported.
 */
void child_release(struct child *c);

/* ---- the two ways to hold it --------------------------------------------------------------------------------- */

enum { TERMINAL_QUEUE = 4 * KiB }; /* unread keys that the kernel keeps: N_TTY_BUF_SIZE */

/* The terminal that sshd has made, taken over for the length of a session. */
struct session_terminal {
        int fd; /* borrowed; -1: none */
        int flags;
        struct termios modes; /* as the client wants them */
        char ahead[TERMINAL_QUEUE]; /* typed before it was taken over, and echoed as the modes say */
        size_t ahead_len;
};

/*
 * From here on the client's keys come as bytes, without echo; reads and writes do not block, and no other process of the
 * user's can open the terminal. release gives it back as it was.
 */
struct error *session_terminal_take(struct session_terminal *t, int fd) MUST_USE;
void session_terminal_release(struct session_terminal *t);

/* What the terminal showed of the keys that were typed ahead. */
void session_terminal_echo(const struct session_terminal *t, struct buf *out);

/* pty.c: an inner terminal, recorded. */
struct error *session_run_pty(struct channel *c, const struct session_request *request, const Cteleport__Session__V1__Go *go,
                              const struct session_terminal *terminal, struct session_outcome *ret) MUST_USE;

/*
 * greeting.c: puts what a login shell begins with, as its terminal shows it: what PAM said and the last login (the greeting), and
 * /etc/motd if that was not among it. Nothing for a command, or where ~/.hushlogin is.
 */
void session_greeting_put(struct buf *out, const struct session_request *request, const struct session_terminal *terminal);

/* plain.c: descriptors 0, 1 and 2 are the child's own. */
struct error *session_run_plain(struct channel *c, const struct session_request *request,
                                const Cteleport__Session__V1__Go *go, struct session_outcome *ret) MUST_USE;

/* Asks whether the session may begin. *ret is valid until the channel is read again; PERMISSION_DENIED says why not. */
struct error *session_begin(struct channel *c, const struct session_options *o, const struct session_request *request,
                            int terminal, const Cteleport__Session__V1__Go **ret) MUST_USE;

/* go_check.c: whether what is said of a session may stand in the environment of what runs. INVALID_ARGUMENT. */
struct error *session_go_check(const Cteleport__Session__V1__Go *go) MUST_USE;

/* session.c: everything, but for the process around it. The options have shell and environment. terminal: descriptor 0 if it is one. */
struct error *session_run(const struct session_options *o, const char *command, int terminal, struct session_outcome *ret) MUST_USE;

/* Writes what can be written at once: a client that does not read loses the rest, and delays nothing. */
void session_write(int fd, struct str bytes);

/* One sentence for a user, at most SESSION_TEXT_MAX, with everything that could harm a terminal escaped. Never waits. */
void session_send(int fd, bool is_terminal, struct str text);

#endif
