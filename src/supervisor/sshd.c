/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the SSH Service that needs root: one sshd for each connection that the process `ssh` reports. That
 * process sends only the ID of a connection; program, options and environment are set here.
 *
 * An sshd ends when its connection does (the other end of its socket pair closes), when it is ordered to (SSHD_STOP),
 * with the process `ssh`, and with the supervisor: the kernel sends it SIGTERM when the supervisor has ended for any reason.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "rpc/pb.h"
#include "supervisor/helper_check.h"
#include "supervisor/sshd_command.h"
#include "supervisor/internal.h"
#include "os/fdpass.h"
#include "os/file.h"
#include "os/process_fork.h"
#include "os/sandbox.h"
#include "pki/key.h"
#include "session/sshd_preload.h"

typedef Cteleport__Internal__V1__Control control_message;

struct sshd {
        struct supervisor *sup;
        struct sshd *next;
        char *connection_id;
        pid_t pid;
        pid_t owner; /* the process `ssh` that has the connection */
        struct timer *timeout; /* running: it was ordered to end */
};

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif

enum { ARGUMENTS_ARENA_MAX = 64 * KiB, AUTHORITY_CAS_MAX = 8, AUTHORITY_FILE_MAX = 4 * KiB };

/* ---- preparation --------------------------------------------------------------------------------------- */

/* Called before the limits are changed: users' sessions begin with the limits with which this program was started. */
void supervisor_note_limits(struct supervisor *s)
{
        static const int kinds[] = { RLIMIT_NOFILE, RLIMIT_CORE };

        _Static_assert(ARRAY_LEN(kinds) == ARRAY_LEN(s->limits), "room for each");
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                s->limits[i].kind = kinds[i];
                (void)getrlimit((unsigned)kinds[i], &s->limits[i].value); /* it never fails for these */
        }
}

static const char *find_sftp_server(void)
{
        static const char *const places[] = { "/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server",
                                              "/usr/libexec/sftp-server", "/usr/lib/ssh/sftp-server" };

        for (size_t i = 0; i < ARRAY_LEN(places); i++)
                if (access(places[i], X_OK) == 0)
                        return places[i];
        return NULL;
}

static struct error *check_path(const char *path, const char *what)
{
        if (sshd_command_takes_path(path))
                return NULL;
        AUTO_MEM char *shown = escaped(str_of(path));
        return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                    "the path of %s, %s, has characters that sshd's options cannot contain", what, shown),
                          "use letters, digits and / . _ - + only, or write enabled: no in ssh_service");
}

/* Whether the supervisor may read which program a process of another user runs: see program_of. */
static bool may_check_others(void)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };

        return syscall(SYS_capget, &header, sets) < 0 || (sets[CAP_TO_INDEX(CAP_SYS_PTRACE)].effective & CAP_TO_MASK(CAP_SYS_PTRACE)) != 0;
}

/* The library that is loaded into sshd, and starts the session program before the account's shell: sshd_preload.h. */
static struct error *make_preload(int *ret_fd)
{
        struct str image = sshd_preload_image();
        AUTO_FD int fd = memfd_create("sshd-preload", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

        if (fd < 0 && errno == EINVAL)
                fd = memfd_create("sshd-preload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return error_hint(error_errno(errno, "cannot make the program that records sessions"),
                                  "it is a file in memory: sysctl vm.memfd_noexec must be 0 or 1");
        if (!fd_write_all(fd, image))
                return error_errno(errno, "cannot write the program that records sessions to memory");
        if (fchmod(fd, 0555) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0)
                return error_errno(errno, "cannot seal the program that records sessions");
        *ret_fd = fd;
        fd = -1;
        return NULL;
}

static struct error *check_authorize_user(const struct supervisor *s)
{
        if (s->accounts.authorize_user != NULL)
                return NULL;
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "there is no account as which sshd could run ssh-authorize"),
                          "make one: useradd --system --no-create-home --shell /usr/sbin/nologin teleport-authorize");
}

static void warn_of_empty_login(void)
{
        if (geteuid() != 0)
                log_warn("Not running as root: no user can log in to this host",
                         LOG_C("hint", "start teleport as root, or write enabled: no in ssh_service"));
        else if (!may_check_others())
                log_warn("teleport lacks the capability SYS_PTRACE: it cannot identify its own programs, and no user can log in to this host",
                         LOG_C("hint", "give it to the container (docker run --cap-add SYS_PTRACE), or write enabled: no in ssh_service"));
}

static void note_pam(struct supervisor *s)
{
        const Cteleport__V1__SSHConfig *config = s->launch->config->ssh_service;

        s->has_pam = sshd_command_platform_has_pam();
        if (!s->has_pam && config != NULL && config->pam != NULL && config->pam->has_enabled && config->pam->enabled)
                log_warn("ssh_service.pam is enabled, and sshd of this host has no PAM: it is built without, or there is no /etc/pam.d/sshd",
                         LOG_C("hint", "leave ssh_service.pam out: it is on by itself where the host has PAM"));
}

/* Without control groups sessions still run, but a session with too many processes uses up the process limit of `teleport`. */
static void make_cgroups(struct supervisor *s)
{
        struct error *err = geteuid() == 0 ? cgroups_prepare(&s->cgroups) : NULL;

        if (err != NULL)
                log_warn("Sessions have no control groups of their own", LOG_ERR(err));
        error_free(err);
}

/* Sessions inherit the restrictions of the unit: sudo would fail, and homes would be empty. */
static struct error *check_unit(void)
{
        if (getenv(SUPERVISOR_UNIT_WITHOUT_SESSIONS) == NULL)
                return NULL;
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "ssh_service is enabled, and the unit of this service permits no sessions of users"),
                          "write the unit again: teleport install systemd -o /etc/systemd/system/teleport.service && systemctl daemon-reload, "
                          "and restart the service; or write enabled: no in ssh_service");
}

struct error *supervisor_prepare_sshd(struct supervisor *s)
{
        TRY(check_unit());
        if (access(SSHD_PROGRAM, X_OK) < 0)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "ssh_service needs OpenSSH's server, and there is no %s", SSHD_PROGRAM),
                                  "apt install openssh-server (its own service need not run), or write enabled: no in "
                                  "ssh_service");
        TRY(check_path(s->own.path, "this program"));
        TRY(check_path(s->launch->data_dir, "teleport.data_dir"));
        s->sftp_server = find_sftp_server();
        if (s->sftp_server == NULL)
                log_warn("There is no sftp-server on this host: files cannot be copied to and from it",
                         LOG_C("hint", "apt install openssh-sftp-server"));
        note_pam(s);
        make_cgroups(s);
        TRY(make_preload(&s->preload_fd));
        TRY(check_authorize_user(s));
        warn_of_empty_login();
        return NULL;
}

/* ---- the socket of helpers -------------------------------------------------------------------------------- */

/*
 * The socket is abstract, so that a user's process needs no rights to a file. Its name is random, so that no other process can
 * have bound it. Each start of `ssh` gets a new one: while no process listens, connections are refused.
 */
struct error *supervisor_open_helpers(struct child *ssh, int *ret_fd)
{
        uint8_t random[16];
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        AUTO(buf) name = BUF_MAX(sizeof(address.sun_path));
        AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        random_bytes(random, sizeof(random));
        buf_put_c(&name, "cteleport-");
        hex_encode(&name, str_of_bytes(random, sizeof(random)));
        memcpy(address.sun_path + 1, name.ptr, name.len);
        socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + name.len);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, LIMIT_SSH_HELPERS_WAITING) < 0)
                return error_errno(errno, "cannot listen for the programs that sshd starts");
        free(ssh->helpers_address);
        ssh->helpers_address = buf_take(&name);
        *ret_fd = fd;
        fd = -1;
        return NULL;
}

/* ---- reports to the process ssh --------------------------------------------------------------------------- */

/* The running process that has the connection: the current one, or a former one that finishes its connections. NULL: it has ended. */
static struct child *owner_of(struct supervisor *s, const struct sshd *d)
{
        struct child *ssh = supervisor_requester(s, SERVICE_REQUEST_SSHD);

        if (ssh != NULL && child_lives(ssh) && ssh->pid == d->owner)
                return ssh;
        for (ssh = s->draining; ssh != NULL; ssh = ssh->next)
                if (child_lives(ssh) && ssh->pid == d->owner)
                        return ssh;
        return NULL;
}

/* Returns whether the report was sent. */
static bool report(struct child *ssh, Cteleport__Internal__V1__SshControl__Kind kind, const char *connection_id,
                 int64_t number, const char *text, int fd)
{
        Cteleport__Internal__V1__SshControl report = CTELEPORT__INTERNAL__V1__SSH_CONTROL__INIT;
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;

        report.kind = kind;
        report.connection_id = pb_text(connection_id);
        report.number = number;
        if (text != NULL)
                report.text = pb_text(text);
        control.own_case = CTELEPORT__INTERNAL__V1__CONTROL__OWN_SSH;
        control.ssh = &report;
        return ssh != NULL && child_lives(ssh) && supervisor_send_with(ssh, &control, fd);
}

static void report_not_started(struct child *ssh, const char *connection_id, struct error *err)
{
        log_error("sshd cannot be started", LOG_C("connection", connection_id), LOG_ERR(err));
        (void)report(ssh, CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__SSHD_ENDED, connection_id, 0, err->what, -1);
        error_free(err);
}

/* ---- starting ------------------------------------------------------------------------------------------------ */

/* Descriptors of an sshd: its standard input and output, and its standard error. */
struct ends {
        int here, there, log_here, log_there;
};

static void ends_release(struct ends *e)
{
        fd_close_at(&e->here);
        fd_close_at(&e->there);
        fd_close_at(&e->log_here);
        fd_close_at(&e->log_there);
        *e = (struct ends){ -1, -1, -1, -1 };
}

static struct error *ends_open(struct ends *e)
{
        TRY(socket_pair(&e->here, &e->there));
        /* Packets, so that a part of one log line cannot pass for another line: clients choose the text of some parts. */
        return fdpass_pair(&e->log_here, &e->log_there);
}

static void restore_limits(const struct supervisor *s)
{
        for (size_t i = 0; i < ARRAY_LEN(s->limits); i++)
                (void)setrlimit((unsigned)s->limits[i].kind, &s->limits[i].value); /* the original values are always accepted */
}

/* Moves the library to the descriptor that LD_PRELOAD names, and leaves it open for exec. */
static bool put_preload(int fd)
{
        return fd == SSHD_PRELOAD_FD ? fcntl(fd, F_SETFD, 0) == 0 : dup2(fd, SSHD_PRELOAD_FD) == SSHD_PRELOAD_FD;
}

/* keys: the directory of sshd's keys, see sshd_command.h; sshd reports it if they are missing. */
static NO_RETURN void become_sshd(const struct supervisor *s, char **argv, const char *keys, const struct ends *e, const struct cgroup_leaf *leaf, pid_t parent)
{
        static const char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        static const char preload[] = SSHD_PRELOAD_ENV;
        char *environment[] = { unconst(path), unconst(preload), NULL };
        sigset_t none;

        /* Not SIGKILL: sshd must close its terminal and PAM session. Its connection closes with the supervisor, too. */
        prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
        if (getppid() != parent)
                _exit(1);
        setsid();
        (void)cgroup_leaf_enter(leaf); /* PAM may move sshd to a group of systemd-logind */
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        for (int signum = 1; signum < NSIG; signum++)
                (void)signal(signum, SIG_DFL); /* this program ignores SIGPIPE, and exec would keep that */
        restore_limits(s);
        umask(0022);
        /* All sources are above descriptor 2, so that none is overwritten before it is duplicated. */
        if ((chdir(keys) < 0 && chdir("/") < 0) || dup2(e->there, STDIN_FILENO) < 0 || dup2(e->there, STDOUT_FILENO) < 0 ||
            dup2(e->log_there, STDERR_FILENO) < 0 || !put_preload(s->preload_fd))
                _exit(126);
        process_close_from(SSHD_PRELOAD_FD + 1);
        execve(SSHD_PROGRAM, argv, environment);
        _exit(127);
}

/* data_dir/proc/ssh/authority, as in instance/ssh_files.h. The file comes from a child: lines of an invalid form are ignored. */
struct authority {
        const char *host_id; /* NULL: not known */
        const char *cas[AUTHORITY_CAS_MAX];
        size_t ca_count;
};

static bool is_ca_pin(struct str s)
{
        struct str hex = str_slice(s, strlen("sha256:"), s.len);

        if (s.len != strlen("sha256:") + 64 || !str_starts_with(s, STR("sha256:")))
                return false;
        for (size_t i = 0; i < hex.len; i++)
                if (strchr("0123456789abcdef", hex.ptr[i]) == NULL)
                        return false;
        return true;
}

static void authority_take(struct authority *w, struct arena *a, struct str line)
{
        struct str value = line, word = str_split(&value, ' ');

        if (str_equal(word, STR("host")) && name_is_host_id(value))
                w->host_id = str_to_c(a, value);
        else if (str_equal(word, STR("ca")) && is_ca_pin(value) && w->ca_count < AUTHORITY_CAS_MAX)
                w->cas[w->ca_count++] = str_to_c(a, value);
}

/* Empty while the host has no identity; ssh-authorize then denies all logins. */
static void read_authority(const struct supervisor *s, struct arena *a, struct authority *ret)
{
        AUTO_MEM char *path = mem_printf("%s/proc/ssh/authority", s->launch->data_dir);
        AUTO(buf) text = BUF_MAX(AUTHORITY_FILE_MAX);
        AUTO_PTR(error) err = file_read(path, &text);

        *ret = (struct authority){ 0 };
        if (err != NULL) {
                log_warn("This host has no file of the Auth Service's CAs, so no user can log in", LOG_ERR(err));
                return;
        }
        for (struct str left = buf_str(&text); !str_is_empty(left);)
                authority_take(ret, a, str_split(&left, '\n'));
}

static struct error *start(const struct child *ssh, const char *connection_id, struct ends *e, pid_t *ret_pid)
{
        struct supervisor *s = ssh->sup;
        AUTO_PTR(arena) arena = arena_new(ARGUMENTS_ARENA_MAX);
        struct authority authority;

        read_authority(s, arena, &authority);
        const struct sshd_command command = {
                .exe = s->own.path,
                .data_dir = s->launch->data_dir,
                .sftp_server = s->sftp_server,
                .socket = ssh->helpers_address,
                .connection_id = connection_id,
                .authorize_user = s->accounts.authorize_user,
                .host_id = authority.host_id,
                .cas = authority.cas,
                .ca_count = authority.ca_count,
                .config = s->launch->config->ssh_service,
                .has_pam = s->has_pam,
                .guard = SSHD_PRELOAD_GUARD,
        };
        char **argv = sshd_command_arguments(&command, arena);
        AUTO_MEM char *keys = mem_printf("%s/proc/ssh", s->launch->data_dir);
        pid_t parent = getpid();

        if (geteuid() != 0)
                return error_new(ERROR_FAILED_PRECONDITION, "teleport does not run as root on this host");
        if (s->sshd_count >= LIMIT_SSH_CONNECTIONS)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "this host has %d SSH connections, which is its limit",
                                 LIMIT_SSH_CONNECTIONS);
        TRY(dir_make_exact(SSHD_EMPTY_DIR, 0755)); /* a boot empties /run */
        TRY(ends_open(e));
        AUTO(cgroup_leaf) leaf = { .count = 0 };
        AUTO_PTR(error) stays = cgroups_make_leaf(&s->cgroups, connection_id, &leaf);
        if (stays != NULL)
                log_warn("a connection has no control group of its own", LOG_C("connection", connection_id), LOG_ERR(stays));
        pid_t pid = process_fork();
        if (pid < 0)
                return error_errno(errno, "cannot start a process");
        if (pid == 0)
                become_sshd(s, argv, keys, e, &leaf, parent);
        *ret_pid = pid;
        return NULL;
}

/* Signals both halves of sshd. The sessions have process groups of their own, and end when their socket to `ssh` closes. */
static void send_signal(const struct sshd *d, int signum)
{
        if (kill(-d->pid, signum) < 0)
                kill(d->pid, signum); /* the new process has not made its group yet */
}

static void on_timeout(void *ctx)
{
        const struct sshd *d = ctx;

        log_warn("sshd does not end and is killed", LOG_C("connection", d->connection_id), LOG_INT("pid", d->pid));
        send_signal(d, SIGKILL);
}

static struct sshd *find(const struct supervisor *s, const char *connection_id)
{
        struct sshd *d = s->sshds;

        while (d != NULL && strcmp(d->connection_id, connection_id) != 0)
                d = d->next;
        return d;
}

static void stop(struct sshd *d)
{
        if (timer_is_running(d->timeout))
                return;
        send_signal(d, SIGTERM);
        timer_start(d->timeout, MILLISECONDS(TIMEOUT_SSHD_STOP));
}

/* Sends the log first: without its lines no login is accepted, so a connection without the log is of no use. */
static void hand_over(struct child *ssh, struct sshd *d, const struct ends *e)
{
        if (report(ssh, CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__SSHD_LOG, d->connection_id, d->pid, NULL, e->log_here) &&
            report(ssh, CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__SSHD_STREAM, d->connection_id, d->pid, NULL, e->here))
                return;
        log_warn("sshd is ended: its connection could not be handed over", LOG_C("connection", d->connection_id),
                 LOG_INT("pid", d->pid));
        stop(d);
}

void supervisor_start_sshd(struct child *ssh, const char *connection_id)
{
        struct supervisor *s = ssh->sup;
        AUTO(ends) e = { -1, -1, -1, -1 };
        pid_t pid = 0;

        if (!name_is_uuid(str_of(connection_id)))
                return; /* not a UUID: ignored, because the ID becomes part of the options */
        if (find(s, connection_id) != NULL) { /* a helper could belong to either of the two */
                log_warn("A second sshd for one connection is refused", LOG_C("connection", connection_id));
                return;
        }
        struct error *err = s->end == RUNNING ? start(ssh, connection_id, &e, &pid)
                                              : error_new(ERROR_UNAVAILABLE, "teleport is stopping on this host");
        if (err != NULL) {
                report_not_started(ssh, connection_id, err);
                return;
        }
        struct sshd *d = NEW(struct sshd);
        *d = (struct sshd){ .sup = s, .next = s->sshds, .connection_id = str_dup(str_of(connection_id)), .pid = pid, .owner = ssh->pid };
        d->timeout = timer_new(&s->loop, on_timeout, d);
        s->sshds = d;
        s->sshd_count++;
        hand_over(ssh, d, &e);
}

/* ---- ending -------------------------------------------------------------------------------------------------- */

static struct sshd *find_own(const struct child *ssh, const char *connection_id)
{
        struct sshd *d = find(ssh->sup, connection_id);

        return d != NULL && d->owner == ssh->pid ? d : NULL;
}

void supervisor_stop_sshd(struct child *ssh, const char *connection_id)
{
        struct sshd *d = find_own(ssh, connection_id);

        if (d != NULL)
                stop(d);
        else
                (void)report(ssh, CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__SSHD_ENDED, connection_id, 0, "there is none", -1);
}

void supervisor_stop_sshd_of(struct supervisor *s, pid_t ssh)
{
        for (struct sshd *d = s->sshds; d != NULL; d = d->next)
                if (d->owner == ssh)
                        stop(d);
}

void supervisor_kill_all_sshd(struct supervisor *s)
{
        for (struct sshd *d = s->sshds; d != NULL; d = d->next)
                send_signal(d, SIGKILL);
}

static void forget(struct sshd **at)
{
        struct sshd *d = *at;

        *at = d->next;
        d->sup->sshd_count--;
        timer_free(d->timeout);
        free(d->connection_id);
        free(d);
}

void supervisor_reap_sshd(struct supervisor *s)
{
        for (struct sshd **at = &s->sshds; *at != NULL;) {
                struct sshd *d = *at;
                siginfo_t dead = { 0 };
                int status;

                if (waitid(P_PID, (id_t)d->pid, &dead, WEXITED | WNOHANG | WNOWAIT) < 0 || dead.si_pid != d->pid) {
                        at = &d->next;
                        continue;
                }
                send_signal(d, SIGKILL); /* its other half, if that still runs; the ID is not free before waitpid */
                waitpid(d->pid, &status, 0);
                AUTO_MEM char *exit_text = child_exit_text(status);
                log_debug("sshd ended", LOG_C("connection", d->connection_id), LOG_C("exit", exit_text));
                struct child *owner = owner_of(s, d);
                if (owner != NULL)
                        (void)report(owner, CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__SSHD_ENDED, d->connection_id, d->pid, exit_text, -1);
                forget(at);
                cgroups_sweep(&s->cgroups);
                if (s->end != RUNNING && s->sshds == NULL)
                        supervisor_stop_next(s);
        }
}

void supervisor_release_sshd(struct supervisor *s)
{
        while (s->sshds != NULL)
                forget(&s->sshds);
        if (s->preload_fd > 0)
                close(s->preload_fd);
        cgroups_sweep(&s->cgroups);
        cgroups_release(&s->cgroups);
        own_program_release(&s->own);
}

/* ---- checks of helpers -------------------------------------------------------------------------------------- */

static const char *not_a_helper(const struct supervisor *s, const struct sshd *d, int64_t number)
{
        if (d == NULL || number <= 1 || number > INT32_MAX)
                return "it was not started by the sshd of this connection";
        return helper_check_process(&s->own, d->pid, (pid_t)number);
}

/*
 * A process ID identifies a process only while that process lives. Therefore the process must still exist after the check, by a
 * descriptor of the process that connected (SO_PEERPIDFD, Linux 6.5), or by one that is opened before the check.
 */
void supervisor_check_helper(struct child *ssh, const char *connection_id, int64_t number, int pidfd)
{
        AUTO_FD int opened = pidfd >= 0 ? -1 : (int)syscall(SYS_pidfd_open, (pid_t)number, 0);
        bool is_too_old = pidfd < 0 && opened < 0 && errno == ENOSYS; /* Linux before 5.3: the process ID must suffice */
        const char *refusal = not_a_helper(ssh->sup, find_own(ssh, connection_id), number);

        if (!is_too_old && syscall(SYS_pidfd_send_signal, pidfd >= 0 ? pidfd : opened, 0, NULL, 0) < 0)
                refusal = "it is gone";
        (void)report(ssh, CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__HELPER_CHECKED, connection_id, number, refusal, -1);
}
