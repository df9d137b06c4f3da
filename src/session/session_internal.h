/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations shared by the sources of the two programs. Private to src/session.
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
        const char *sftp;       /* the node's sftp-server; NULL: none */
        const char *shell;      /* the account's shell; NULL: that of the password file */
        const char *const *environment; /* the account's environment, not that of this process: see sshd_preload.h */
        const char *greeting;   /* SESSION_GREETING; NULL: none */
        const char *host_id;    /* ssh-authorize: ID of this host; NULL: not given */
        const char *cas[SESSION_CAS_MAX]; /* ssh-authorize: pins of the cluster's host CAs */
        size_t ca_count;
        bool has_no_port_forwarding; /* ssh-authorize: denied, whatever the cluster permits */
        uid_t server;           /* owner of the socket: root, except in tests */
};

/*
 * Reads --socket=…, --connection=…, --sftp=…, --shell=…, --host=…, --ca=… (once for each CA) and --no-port-forwarding
 * (argv[0] is the command's name); other words are left to the caller. Words after the first one that is not an option
 * are never options, as they are untrusted.
 */
struct error *session_options_read(int argc, char **argv, struct session_options *ret) MUST_USE;

/*
 * authorize.c: requests the decision and prints the line for sshd to `out`. Enters the sandbox of ssh-authorize
 * meanwhile, after which the process cannot open files.
 */
struct error *session_authorize(const struct session_options *o, const char *login, const char *certificate, int out) MUST_USE;

/* ---- what runs ------------------------------------------------------------------------------------------ */

/* The session that sshd has requested. Everything is borrowed from the options. */
struct session_request {
        const char *shell;   /* the account's */
        const char *const *environment;
        const char *greeting; /* for a login shell on a terminal; NULL: none */
        const char *kind;    /* "shell", "exec", "sftp", "scp" */
        const char *command; /* NULL: a shell */
        bool has_pty;
        bool is_subsystem;   /* the sftp-server that is configured for sshd on this node */
};

/* Classifies SSH_ORIGINAL_COMMAND (NULL: none). sftp_server: the node's, or NULL. The caller sets shell and environment. */
struct session_request session_request_of(const char *command, const char *sftp_server, bool has_pty);

/* The value of a variable, or NULL. */
const char *session_variable(const char *const *environment, const char *name);

/* The program to execute, in the arena. */
struct session_program {
        const char *path;
        const char **argv;
        const char **envp;
};

/*
 * Prepares the login shell, or a command in it, as sshd(8) starts them. The environment is that of the request, without
 * variables of sshd's own session, plus the variables of Teleport's sessions. tty: name of the terminal, or NULL.
 */
void session_program_plan(struct arena *a, const struct session_request *request, const Cteleport__Session__V1__Approval *approval,
                          const char *tty, struct session_program *ret);

/* ---- the child --------------------------------------------------------------------------------------------- */

/* How the program ended. */
struct session_outcome {
        int code;     /* exit code; 128 + signal after a signal */
        int signal;   /* or 0 */
        char reason[256]; /* why it was ended by this process, or "" */
};

struct child {
        pid_t pid;
        int signals; /* signalfd; SIGCHLD and signals for the session */
        sigset_t old_mask;
        bool has_ended;
        int status; /* of waitpid */
};

/* Blocks the signals and opens the signalfd. To be called before child_start(). */
struct error *child_prepare(struct child *c) MUST_USE;

/*
 * Starts the program in a process group of its own. tty >= 0: it becomes the terminal of a new session and descriptors
 * 0 to 2; otherwise 0 and 1 are unchanged and err >= 0 becomes 2.
 */
struct error *child_start(struct child *c, const struct session_program *program, int tty, int err) MUST_USE;

/* Reads one signal; 0 when there is none. SIGCHLD is already handled when it is returned. */
int child_signal(struct child *c);

/* Sends a signal to the whole process group, which may have ended already. */
void child_kill(const struct child *c, int signum);

/* Waits for `within` at most for the program to end, then kills it; it has ended when this returns. */
void child_end(struct child *c, struct duration within);

void child_outcome(const struct child *c, struct session_outcome *ret);

/*
 * Frees c. Signals stay blocked: a signal between the end of the child and that of this process, such as the hang-up of
 * a terminal, must not prevent the report of the session's end.
 */
void child_release(struct child *c);

/* ---- with and without a terminal -------------------------------------------------------------------------------- */

enum { TERMINAL_QUEUE = 4 * KiB }; /* unread keys that the kernel keeps: N_TTY_BUF_SIZE */

/* The terminal that sshd has created, in raw mode during a session. */
struct session_terminal {
        int fd; /* borrowed; -1: none */
        int flags;
        struct termios modes; /* terminal modes set by the client */
        char ahead[TERMINAL_QUEUE]; /* input typed before raw mode, and echoed by its modes */
        size_t ahead_len;
};

/*
 * Sets raw mode: input is read as bytes, without echo; reads and writes do not block, and no other process of the user
 * can open the terminal. session_terminal_release() restores it.
 */
struct error *session_terminal_take(struct session_terminal *t, int fd) MUST_USE;
void session_terminal_release(struct session_terminal *t);

/* Appends the terminal's echo of input that was typed ahead. */
void session_terminal_echo(const struct session_terminal *t, struct buf *out);

/* pty.c: an inner terminal, recorded. */
struct error *session_run_pty(struct channel *c, const struct session_request *request, const Cteleport__Session__V1__Approval *approval,
                              const struct session_terminal *terminal, struct session_outcome *ret) MUST_USE;

/*
 * greeting.c: appends the greeting of a login shell in terminal form: PAM's messages and the last login, and /etc/motd
 * if it was not among them. Nothing for a command, or with ~/.hushlogin.
 */
void session_greeting_put(struct buf *out, const struct session_request *request, const struct session_terminal *terminal);

/* plain.c: descriptors 0, 1 and 2 are the child's own. */
struct error *session_run_plain(struct channel *c, const struct session_request *request,
                                const Cteleport__Session__V1__Approval *approval, struct session_outcome *ret) MUST_USE;

/*
 * Requests the begin of the session. *ret is valid until the channel is read again; PERMISSION_DENIED with the reason
 * of a refusal.
 */
struct error *session_begin(struct channel *c, const struct session_options *o, const struct session_request *request,
                            int terminal, const Cteleport__Session__V1__Approval **ret) MUST_USE;

/*
 * approval_check.c: checks that the received facts of a session are valid in the environment of the program. INVALID_ARGUMENT
 * otherwise.
 */
struct error *session_approval_check(const Cteleport__Session__V1__Approval *approval) MUST_USE;

/*
 * session.c: runs the session; main() does the setup of the process. The options have shell and environment. terminal:
 * descriptor 0 if it is a terminal.
 */
struct error *session_run(const struct session_options *o, const char *command, int terminal, struct session_outcome *ret) MUST_USE;

/* Writes as much as possible without blocking: a client that does not read loses the rest and causes no delay. */
void session_write(int fd, struct str bytes);

/* Writes one sentence for the user, at most SESSION_TEXT_MAX, escaped for terminals. Never blocks. */
void session_send(int fd, bool is_terminal, struct str text);

#endif
