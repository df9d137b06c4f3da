/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/service.h"
#include "base/bug.h"
#include "base/mem.h"
#include "base/secret.h"
#include "os/fdpass.h"
#include "os/process_fork.h"
#include "os/sandbox.h"
#include "rpc/pb.h"

/*
 * The environment variables that a service inherits. Credentials of the operator's shell, tokens in
 * TELEPORT_CONFIG and settings of libraries are not on the list.
 */
/* clang-format off */
static const char *const environment_names[] = {
        "PATH", "LANG", "LC_ALL", "TZ", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CA_BUNDLE", "RES_OPTIONS",
        "LOCALDOMAIN", "UV_THREADPOOL_SIZE", SANDBOX_LANDLOCK_SETTING,
#ifdef CTELEPORT_SANITIZED
        "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "LLVM_PROFILE_FILE",
#endif
};
static const char *const http_proxy_names[] = {
        "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "TELEPORT_TLS_ROUTING_CONN_UPGRADE",
};
/* clang-format on */

enum { ENVIRONMENT_ROOM = ARRAY_LEN(environment_names) + ARRAY_LEN(http_proxy_names) + 1 };

/* ---- boot message and environment ------------------------------------------------------------------ */

static struct error *boot_file(const Cteleport__Internal__V1__Boot *boot, int *ret_fd)
{
        size_t len = cteleport__internal__v1__boot__get_packed_size(boot);
        AUTO(secret) bytes = { mem_alloc(len + 1), len };
        AUTO_FD int fd = memfd_create("boot", MFD_CLOEXEC);

        if (fd < 0)
                return error_errno(errno, "cannot make a file in memory");
        cteleport__internal__v1__boot__pack(boot, (uint8_t *)bytes.ptr);
        if (write(fd, bytes.ptr, len) != (ssize_t)len)
                return error_errno(errno, "cannot write a file in memory");
        *ret_fd = fd;
        fd = -1;
        return NULL;
}

/* Appends the variables of the list that this process has. */
static void add_names(char **room, size_t *count, const char *const *names, size_t name_count)
{
        for (size_t i = 0; i < name_count; i++) {
                size_t len = strlen(names[i]);

                for (char **e = environ; *e != NULL; e++) {
                        if (strncmp(*e, names[i], len) == 0 && (*e)[len] == '=') {
                                room[(*count)++] = *e;
                                break; /* `room` has space for each name once */
                        }
                }
        }
}

static char *const *environment_for(const struct service_process *process, char **room)
{
        size_t count = 0;

        unsetenv("NOTIFY_SOCKET"); /* only the supervisor reports READY; this changes the child's copy */
        if (process->secrets & SERVICE_SECRET_ENVIRONMENT) {
                unsetenv("TELEPORT_CONFIG");
                return environ;
        }
        add_names(room, &count, environment_names, ARRAY_LEN(environment_names));
        if (process->secrets & SERVICE_SECRET_HTTP_PROXY)
                add_names(room, &count, http_proxy_names, ARRAY_LEN(http_proxy_names));
        room[count] = NULL;
        return room;
}

/* ---- after fork -------------------------------------------------------------------------------------- */

enum { OUT_OF_THE_WAY = 64 }; /* above all descriptor numbers of a child */

/* Moves the descriptors to consecutive numbers from `first`, by way of higher numbers, so that none is overwritten too early. */
static bool place_descriptors(const int *sources, size_t count, int first, int also_open)
{
        int moved[CHILD_FDS_MAX + 2];

        for (size_t i = 0; i < count; i++) {
                moved[i] = fcntl(sources[i], F_DUPFD, OUT_OF_THE_WAY);
                if (moved[i] < 0)
                        return false;
        }
        for (size_t i = 0; i < count; i++)
                if (dup2(moved[i], first + (int)i) < 0)
                        return false;
        if (also_open < 0) {
                process_close_from(first + (int)count);
                return true;
        }
        for (int fd = first + (int)count; fd < also_open; fd++)
                close(fd);
        process_close_from(also_open + 1);
        return true;
}

/* The descriptor of the program is closed by exec. */
static NO_RETURN void execute(int program_fd, char *const *arguments, char *const *environment)
{
        if (program_fd < 0)
                execve("/proc/self/exe", arguments, environment);
        else
                syscall(SYS_execveat, program_fd, "", arguments, environment, AT_EMPTY_PATH);
        _exit(127);
}

static NO_RETURN void become(const struct service_process *process, const int *sources, size_t count, int stderr_fd, int program_fd, pid_t parent)
{
        char *room[ENVIRONMENT_ROOM];
        char title[32];
        char *const arguments[] = { title, "service", pb_text(process->name), NULL };
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        sigset_t none;

        snprintf(title, sizeof(title), "teleport: %s", process->name);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != parent) /* the parent ended before prctl(2) took effect */
                _exit(1);
        sigemptyset(&none);
        (void)signal(SIGHUP, SIG_IGN); /* until service_begin: SIGHUP would end a service that is still starting */
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (program_fd >= 0)
                program_fd = fcntl(program_fd, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(stderr_fd, STDERR_FILENO) < 0 ||
            !place_descriptors(sources, count, SERVICE_FD_BOOT, program_fd))
                _exit(126);
        execute(program_fd, arguments, environment_for(process, room));
}

struct error *child_spawn(const struct service_process *process, const Cteleport__Internal__V1__Boot *boot,
                          const struct child_fds *fds, int stderr_fd, int program_fd, pid_t *ret_pid, int *ret_control)
{
        int sources[CHILD_FDS_MAX + 2];
        AUTO_FD int boot_fd = -1, control_here = -1, control_there = -1;
        pid_t parent = getpid();

        TRY(boot_file(boot, &boot_fd));
        TRY(fdpass_pair(&control_here, &control_there));
        sources[0] = boot_fd;
        sources[1] = control_there;
        memcpy(&sources[2], fds->fds, fds->count * sizeof(*sources));

        pid_t pid = process_fork();
        if (pid < 0)
                return error_errno(errno, "cannot start the process '%s'", process->name);
        if (pid == 0)
                become(process, sources, fds->count + 2, stderr_fd, program_fd, parent);
        *ret_pid = pid;
        *ret_control = control_here;
        control_here = -1;
        return NULL;
}

void child_fds_add(struct child_fds *fds, const char *name, int fd)
{
        if (fds->count == CHILD_FDS_MAX)
                bug("a service with more than %d descriptors", CHILD_FDS_MAX);
        fds->names[fds->count] = name;
        fds->fds[fds->count++] = fd;
}

char *child_exit_text(int wait_status)
{
        if (WIFEXITED(wait_status))
                return mem_printf("ended with status %d", WEXITSTATUS(wait_status));
        int signum = WTERMSIG(wait_status);
        return mem_printf("was killed by signal %d (%s)", signum,
                          signum == SIGSYS ? "its sandbox forbids the system call" : strsignal(signum));
}
