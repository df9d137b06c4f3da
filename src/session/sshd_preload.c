/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library that is loaded into sshd; see sshd_preload.h. It changes only these operations of sshd:
 *
 *   - execve of the login shell for the ForceCommand becomes execve of the session program. The recorder thus starts before the
 *     shell, before its start-up files, and before any effect that an environment has on a shell or on ld.so. The account's
 *     environment is passed under names that no program uses (SESSION_ENV_MARK).
 *   - That program is executed from a file in memory which the account may execute but not read, so the kernel makes the process
 *     undumpable from its first instruction (execve(2), PR_SET_DUMPABLE): no other program of the account can trace it,
 *     open its memory or descriptors, or read the file.
 *   - ssh-authorize is executed from a file in memory, too, instead of by env(1) and the whole of `teleport`: the same code, as
 *     the same user, without the libraries of the services. If that fails, sshd runs the command of its options.
 *   - The environment that PAM sets is held back until the session program starts, so that /etc/ssh/sshrc runs without it.
 *   - Terminals that sshd creates stay owned by root, mode 0600: only the session program has them, by inheritance.
 *   - passwd(1) does not run in place of a session whose password has expired: it would not be recorded.
 *
 * It also collects the messages of PAM's modules and the account's last login, which sshd shows to login shells but not to forced
 * commands, and passes them to the session program (SESSION_GREETING).
 *
 * It fails closed: if the session program cannot be started, no program is started.
 */
#include "session/sshd_preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lastlog.h>
#include <paths.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif

#define EXPORTED __attribute__((visibility("default")))

enum { WORDS_MAX = 16, NOTHING_RAN = 255 };

static const char forced_option[] = "ForceCommand=";

extern const char session_image[], session_image_end[], authorize_image[], authorize_image_end[];

static char *library;  /* image of this library, for an sshd that executes further programs; NULL: it does not */
static size_t library_len;
static char *forced;   /* the ForceCommand, "exec PROGRAM ssh-session OPTION…"; NULL: another sshd, left unchanged */
static char **of_pam;  /* the environment that PAM set; NULL: none */

static char sent_by_pam[SESSION_GREETING_MAX];

/*
 * Shared by all processes of a connection's sshd. The process that runs as root and creates terminals writes the last login;
 * another process starts the session, and only shows the line.
 */
static struct {
        char last_login[512]; /* a line */
} *shared;

/* ---- the start of sshd --------------------------------------------------------------------------------------- */

/* From OpenSSH 9.8 on, sshd consists of several programs. */
static bool has_several_programs(void)
{
        static const char *const places[] = { "/usr/lib/openssh/sshd-session", "/usr/libexec/openssh/sshd-session",
                                              "/usr/libexec/sshd-session", "/usr/lib/ssh/sshd-session" };

        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
                if (access(places[i], X_OK) == 0)
                        return true;
        return false;
}

static void keep_library(int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0 || (library = malloc((size_t)st.st_size)) == NULL)
                return;
        while (library_len < (size_t)st.st_size) {
                ssize_t n = pread(fd, library + library_len, (size_t)st.st_size - library_len, (off_t)library_len);

                if (n <= 0)
                        return;
                library_len += (size_t)n;
        }
}

/* The descriptor from which this library was loaded, "/proc/self/fd/N"; -1 if LD_PRELOAD has another form. */
static int own_descriptor(void)
{
        static const char place[] = "/proc/self/fd/";
        const char *path = getenv("LD_PRELOAD");

        return path != NULL && strncmp(path, place, sizeof(place) - 1) == 0 ? (int)strtol(path + sizeof(place) - 1, NULL, 10) : -1;
}

/* sshd overwrites its arguments later, so all needed values are copied. */
static __attribute__((constructor)) void begin(int argc, char **argv)
{
        _Static_assert(sizeof(SSHD_PRELOAD_GUARD) == sizeof(SSHD_PRELOAD_GUARD_TAKEN), "the one fits where the other was");
        char *guard = NULL;
        int fd = own_descriptor();

        unsetenv("LD_PRELOAD");
        for (int i = 0; i < argc; i++) {
                if (strcmp(argv[i], SSHD_PRELOAD_GUARD) == 0)
                        guard = argv[i];
                else if (strncmp(argv[i], forced_option, sizeof(forced_option) - 1) == 0)
                        forced = strdup(argv[i] + sizeof(forced_option) - 1);
        }
        if (guard == NULL || forced == NULL)
                return; /* an sshd that still has the guard option exits by itself */
        memcpy(guard, SSHD_PRELOAD_GUARD_TAKEN, sizeof(SSHD_PRELOAD_GUARD_TAKEN));
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                shared = NULL;
        if (fd > STDERR_FILENO) {
                if (has_several_programs())
                        keep_library(fd);
                close(fd);
        }
}

/* The function of this name that the library's own function replaces. */
static void *next(const char *name)
{
        return dlsym(RTLD_NEXT, name);
}

/* ---- messages of PAM -------------------------------------------------------------------------------------------- */

/* Whether the caller is sshd itself, not a PAM module. */
static bool is_in_sshd(const void *caller)
{
        Dl_info program, place;

        return dladdr((const void *)getauxval(AT_PHDR), &program) != 0 && dladdr(caller, &place) != 0 && place.dli_fbase == program.dli_fbase;
}

EXPORTED char **pam_getenvlist(void *handle);

EXPORTED char **pam_getenvlist(void *handle)
{
        char **(*real)(void *) = (char **(*)(void *))next("pam_getenvlist");
        char **list = real == NULL ? NULL : real(handle);

        if (forced == NULL || !is_in_sshd(__builtin_return_address(0)))
                return list;
        of_pam = list;
        return calloc(1, sizeof(char *));
}

/* As in <security/pam_appl.h>, whose numbers and layout are Linux-PAM's interface: pam_conv(3). */
struct pam_message {
        int msg_style;
        const char *msg;
};
struct pam_response;
struct pam_conv {
        int (*conv)(int count, const struct pam_message **messages, struct pam_response **answers, void *ctx);
        void *ctx;
};
enum { PAM_SUCCESS = 0, PAM_BUF_ERR = 5, PAM_CONV = 5, PAM_ERROR_MSG = 3, PAM_TEXT_INFO = 4 };

/* sshd's own conversation, while the library's conversation replaces it. */
static struct pam_conv sshds_conv;

static void keep_message(const char *text)
{
        size_t len = strlen(sent_by_pam), more = text == NULL ? 0 : strlen(text);

        if (more == 0 || more + 2 > sizeof(sent_by_pam) - sizeof(shared->last_login) - len)
                return;
        memcpy(sent_by_pam + len, text, more);
        if (text[more - 1] != '\n')
                sent_by_pam[len + more++] = '\n';
        sent_by_pam[len + more] = '\0';
}

static int converse(int count, const struct pam_message **messages, struct pam_response **answers, void *ctx)
{
        (void)ctx;
        for (int i = 0; i < count; i++)
                if (messages[i]->msg_style == PAM_TEXT_INFO || messages[i]->msg_style == PAM_ERROR_MSG)
                        keep_message(messages[i]->msg);
        return sshds_conv.conv(count, messages, answers, sshds_conv.ctx);
}

/* Calls a function of PAM for sshd and records its messages; calls it even if the conversation cannot be replaced. */
static int listening(const char *name, void *handle, int flags)
{
        int (*call)(void *, int) = (int (*)(void *, int))next(name);
        int (*get)(const void *, int, const void **) = (int (*)(const void *, int, const void **))next("pam_get_item");
        int (*set)(void *, int, const void *) = (int (*)(void *, int, const void *))next("pam_set_item");
        const struct pam_conv ours = { converse, NULL };
        const void *item = NULL;

        if (call == NULL)
                return PAM_BUF_ERR;
        if (forced == NULL || get == NULL || set == NULL || get(handle, PAM_CONV, &item) != PAM_SUCCESS || item == NULL)
                return call(handle, flags);
        sshds_conv = *(const struct pam_conv *)item; /* pam_set_item frees the handle's copy */
        if (sshds_conv.conv == NULL || sshds_conv.conv == converse || set(handle, PAM_CONV, &ours) != PAM_SUCCESS)
                return call(handle, flags);
        int result = call(handle, flags);
        set(handle, PAM_CONV, &sshds_conv);
        return result;
}

EXPORTED int pam_acct_mgmt(void *handle, int flags);
EXPORTED int pam_open_session(void *handle, int flags);

EXPORTED int pam_acct_mgmt(void *handle, int flags)
{
        sent_by_pam[0] = '\0';
        return listening("pam_acct_mgmt", handle, flags);
}

EXPORTED int pam_open_session(void *handle, int flags)
{
        return listening("pam_open_session", handle, flags);
}

/* ---- the last login ------------------------------------------------------------------------------------------------- */

/*
 * Reads lastlog(5) before sshd writes the new login there. sshd does not know the client's address of such a connection
 * and writes UNKNOWN, which is not shown.
 */
static void note_last_login(uid_t uid)
{
        struct lastlog last;
        char when[64];
        struct tm parts;
        int fd = open(_PATH_LASTLOG, O_RDONLY | O_CLOEXEC);

        shared->last_login[0] = '\0';
        if (fd < 0)
                return; /* some systems have no such file */
        ssize_t n = pread(fd, &last, sizeof(last), (off_t)uid * (off_t)sizeof(last));
        close(fd);
        time_t at = n == (ssize_t)sizeof(last) ? (time_t)last.ll_time : 0;
        if (at == 0 || localtime_r(&at, &parts) == NULL || strftime(when, sizeof(when), "%a %b %e %H:%M:%S %Y", &parts) == 0)
                return;
        size_t len = strnlen(last.ll_host, sizeof(last.ll_host));
        bool is_known = len > 0 && (len != strlen("UNKNOWN") || memcmp(last.ll_host, "UNKNOWN", len) != 0);
        snprintf(shared->last_login, sizeof(shared->last_login), "Last login: %s%s%.*s\n", when, is_known ? " from " : "",
                 is_known ? (int)len : 0, last.ll_host);
}

/* ---- terminals ----------------------------------------------------------------------------------------------------- */

static bool is_terminal(const char *path)
{
        return forced != NULL && strncmp(path, "/dev/pts/", strlen("/dev/pts/")) == 0;
}

EXPORTED int openpty(int *ret_master, int *ret_slave, char *name, const struct termios *modes, const struct winsize *size)
{
        int (*real)(int *, int *, char *, const struct termios *, const struct winsize *) =
                (int (*)(int *, int *, char *, const struct termios *, const struct winsize *))next("openpty");

        if (real == NULL || real(ret_master, ret_slave, name, modes, size) < 0)
                return -1;
        if (forced != NULL && (fchown(*ret_slave, 0, 0) < 0 || fchmod(*ret_slave, 0600) < 0)) {
                close(*ret_master);
                close(*ret_slave);
                return -1;
        }
        return 0;
}

EXPORTED int chown(const char *path, uid_t uid, gid_t gid)
{
        bool is_ours = is_terminal(path);

        if (is_ours && shared != NULL && geteuid() == 0)
                note_last_login(uid); /* sshd changes the owner of a terminal just before it writes lastlog */
        return fchownat(AT_FDCWD, path, is_ours ? 0 : uid, is_ours ? 0 : gid, 0);
}

EXPORTED int chmod(const char *path, mode_t mode)
{
        return fchmodat(AT_FDCWD, path, is_terminal(path) ? mode & 0600 : mode, 0);
}

/* ---- the program of a session --------------------------------------------------------------------------------------- */

static size_t count_of(char *const *list)
{
        size_t n = 0;

        while (list != NULL && list[n] != NULL)
                n++;
        return n;
}

static size_t name_length(const char *entry)
{
        return strcspn(entry, "=");
}

static bool has_name(char *const *list, const char *entry)
{
        size_t len = name_length(entry);

        for (; list != NULL && *list != NULL; list++)
                if (name_length(*list) == len && strncmp(*list, entry, len) == 0)
                        return true;
        return false;
}

/*
 * The precedence is sshd's own: a value of PAM replaces values that sshd sets before it (PATH, LANG, …). Values that sshd sets
 * after it replace PAM's; their names all begin with SSH_. PAM must never set the names that sshd itself denies it
 * (PAM_ENV_DENYLIST in session.c of OpenSSH), nor the command of the session.
 */
static bool takes_from_pam(char *const *of_sshd, const char *entry)
{
        static const char *const denied[] = { "SSH_AUTH_INFO", "SSH_CONNECTION", "SSH_ORIGINAL_COMMAND" };

        for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
                if (strncmp(entry, denied[i], strlen(denied[i])) == 0)
                        return false;
        return strncmp(entry, "SSH_", 4) != 0 || !has_name(of_sshd, entry);
}

static bool takes_from_sshd(const char *entry)
{
        return strncmp(entry, "SSH_", 4) == 0 || !has_name(of_pam, entry);
}

static char *marked(const char *entry)
{
        size_t len = strlen(entry) + 1;
        char *copy = malloc(len + 1);

        if (copy == NULL)
                return NULL;
        copy[0] = SESSION_ENV_MARK;
        memcpy(copy + 1, entry, len);
        return copy;
}

static const char *value_of(char *const *list, const char *name)
{
        for (; list != NULL && *list != NULL; list++)
                if (strncmp(*list, name, strlen(name)) == 0 && (*list)[strlen(name)] == '=')
                        return *list + strlen(name) + 1;
        return NULL;
}

/*
 * "SESSION_GREETING=…", or NULL when there is none. A login shell has a terminal and no command. Each one gets a greeting,
 * even on a shared connection with earlier sessions, so that a user of tsh ssh sees no difference.
 */
static char *plan_greeting(char *const *environment)
{
        bool is_login = value_of(environment, "SSH_TTY") != NULL && value_of(environment, "SSH_ORIGINAL_COMMAND") == NULL;
        char *text = NULL, last[sizeof(shared->last_login)] = "";

        if (shared != NULL) {
                memcpy(last, shared->last_login, sizeof(last));
                last[sizeof(last) - 1] = '\0';
        }
        if (!is_login || (sent_by_pam[0] == '\0' && last[0] == '\0') || asprintf(&text, SESSION_GREETING "=%s%s", sent_by_pam, last) < 0)
                return NULL;
        return text;
}

/* NULL if memory is exhausted. */
static char **plan_environment(char *const *of_sshd)
{
        size_t count = 0;
        char *greeting = plan_greeting(of_sshd);
        char **all = calloc(count_of(of_sshd) + count_of(of_pam) + 2, sizeof(char *));

        for (size_t i = 0; all != NULL && i < count_of(of_sshd); i++)
                if (takes_from_sshd(of_sshd[i]) && (all[count++] = marked(of_sshd[i])) == NULL)
                        return NULL;
        for (size_t i = 0; all != NULL && i < count_of(of_pam); i++)
                if (takes_from_pam(of_sshd, of_pam[i]) && (all[count++] = marked(of_pam[i])) == NULL)
                        return NULL;
        if (all != NULL && greeting != NULL)
                all[count] = greeting;
        return all;
}

/* Splits "exec PROGRAM WORD…" and adds the shell to run. Words contain no blanks: the supervisor checks that. */
static bool plan_words(char *text, const char *shell, char **words)
{
        static const char option[] = "--shell=";
        size_t count = 0, len = sizeof(option) + strlen(shell);
        char *rest = text, *last = malloc(len);

        if (last == NULL)
                return false;
        memcpy(last, option, sizeof(option) - 1);
        memcpy(last + sizeof(option) - 1, shell, strlen(shell) + 1);
        for (char *word; (word = strsep(&rest, " ")) != NULL;) {
                if (count == WORDS_MAX - 2)
                        return false;
                words[count++] = word;
        }
        words[count++] = last;
        words[count] = NULL;
        return true;
}

static bool write_all(int fd, const char *at, size_t len)
{
        while (len > 0) {
                ssize_t n = write(fd, at, len);

                if (n < 0)
                        return false;
                at += n;
                len -= (size_t)n;
        }
        return true;
}

/* A file that only this process has open, and that the account cannot read. -1 on failure, with errno set. */
static int make_program(const char *name, const char *image, const char *image_end)
{
        int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

        if (fd < 0 && errno == EINVAL)
                fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0 || !write_all(fd, image, (size_t)(image_end - image)) || fchmod(fd, 0111) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0)
                return -1;
        return fd;
}

static __attribute__((noreturn)) void start_session(const char *shell, char *const *of_sshd)
{
        static const char *const first = "exec ";
        char *words[WORDS_MAX];
        char **environment;
        sigset_t all;
        int fd = -1;

        /* Signals must not end the program before it has reported itself; it unblocks them afterwards. */
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        environment = plan_environment(of_sshd);
        if (environment != NULL && plan_words(forced + strlen(first), shell, words)) {
                fd = make_program("ssh-session", session_image, session_image_end);
                if (fd >= 0)
                        syscall(SYS_execveat, fd, "", words, environment, AT_EMPTY_PATH);
        }
        dprintf(STDERR_FILENO, "teleport: the program of the session cannot be started on this node: %s\n", strerrordesc_np(errno));
        _exit(NOTHING_RAN);
}

/* ---- ssh-authorize ---------------------------------------------------------------------------------------------------- */

/* Executes "/usr/bin/env PROGRAM ssh-authorize …", the AuthorizedPrincipalsCommand, from memory. Returns on failure. */
static void start_authorize(const char *path, char *const argv[], char *const envp[])
{
        int fd;

        if (forced == NULL || strcmp(path, "/usr/bin/env") != 0 || argv[0] == NULL || argv[1] == NULL || argv[2] == NULL ||
            strcmp(argv[2], "ssh-authorize") != 0)
                return;
        fd = make_program("ssh-authorize", authorize_image, authorize_image_end);
        if (fd >= 0)
                syscall(SYS_execveat, fd, "", argv + 1, envp, AT_EMPTY_PATH);
}

EXPORTED int execve(const char *path, char *const argv[], char *const envp[])
{
        if (forced != NULL && argv[0] != NULL && argv[1] != NULL && strcmp(argv[1], "-c") == 0 && argv[2] != NULL &&
            strcmp(argv[2], forced) == 0)
                start_session(path, envp);
        start_authorize(path, argv, envp);
        return (int)syscall(SYS_execve, path, argv, envp);
}

/* sshd calls this for passwd(1), on a terminal that is not recorded, when PAM reports an expired password. */
EXPORTED int execl(const char *path, const char *word, ...)
{
        (void)path;
        (void)word;
        dprintf(STDERR_FILENO, "teleport: the password of this account on the node has to be changed first; an administrator there can: "
                               "passwd ACCOUNT, or chage -d -1 ACCOUNT\r\n");
        _exit(NOTHING_RAN);
}

/* Executes the next program of an sshd that consists of several: the program gets the guard option again, and the library. */
EXPORTED int execv(const char *path, char *const argv[])
{
        static char guard[] = SSHD_PRELOAD_GUARD;
        char place[64];

        start_authorize(path, argv, environ);
        for (char **word = (char **)(uintptr_t)argv; forced != NULL && *word != NULL; word++)
                if (strcmp(*word, SSHD_PRELOAD_GUARD_TAKEN) == 0)
                        *word = guard;
        if (library != NULL) {
                int fd = memfd_create("sshd-preload", MFD_EXEC);

                if (fd >= 0 && write_all(fd, library, library_len)) {
                        snprintf(place, sizeof(place), "/proc/self/fd/%d", fd);
                        setenv("LD_PRELOAD", place, 1);
                }
        }
        return (int)syscall(SYS_execve, path, argv, environ);
}
