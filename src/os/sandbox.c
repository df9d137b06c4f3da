/* SPDX-License-Identifier: Apache-2.0 */
#include "os/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/library.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/sandbox_landlock.h"

/* ---- lists of system calls --------------------------------------------------------------------- */

enum { END_OF_LIST = -100000 }; /* below -10001, where libseccomp begins to number the calls that an architecture lacks */

/* clang-format off */
/*
 * The calls of processes that hold private keys: read requests from one socket, answer them, write one log and its archive,
 * use memory, randomness and the time. This list shares nothing with the other lists, so that additions there do not extend it.
 */
static const int calls_signer[] = {
        SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(poll), SCMP_SYS(recvmsg), SCMP_SYS(recvfrom),
        SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(close), SCMP_SYS(dup3), SCMP_SYS(fdatasync), SCMP_SYS(ftruncate),
        SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock),
        SCMP_SYS(munlock), SCMP_SYS(brk), SCMP_SYS(futex),
        SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(getpid), SCMP_SYS(gettid),
        SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
        SCMP_SYS(exit_group), END_OF_LIST,
};

/* ssh-authorize, after it has connected: one request, one answer, a signature to verify, a line for sshd. */
static const int calls_authorize[] = {
        SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(poll), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
        SCMP_SYS(close), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex),
        SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group), END_OF_LIST,
};

/* The calls of every other process: its loop, its memory, its open descriptors. */
static const int calls_base[] = {
        SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(lseek),
        SCMP_SYS(fstat), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
        SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(fcntl), SCMP_SYS(dup3), SCMP_SYS(pipe2),
        SCMP_SYS(eventfd2), SCMP_SYS(recvmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(sendto),
        SCMP_SYS(shutdown), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock),
        SCMP_SYS(munlock), SCMP_SYS(brk), SCMP_SYS(futex), SCMP_SYS(getrandom), SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday),
        SCMP_SYS(time), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid),
        SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
        SCMP_SYS(sched_yield), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(fdatasync), SCMP_SYS(fsync),
        END_OF_LIST,
};

/* The thread pool of libuv, for blocking work. (clone itself is filtered by its flags.) */
static const int calls_threads[] = {
        SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(sched_getaffinity),
        SCMP_SYS(prlimit64), SCMP_SYS(getrlimit), SCMP_SYS(sysinfo),
        END_OF_LIST,
};

/* Operations on open sockets of any origin. */
static const int calls_sockets[] = {
        SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername), END_OF_LIST,
};

/* Listening sockets come from the supervisor: no service binds one. */
static const int calls_accept[] = { SCMP_SYS(accept), SCMP_SYS(accept4), END_OF_LIST };

/* The calls with which libcurl and glibc's resolver reach a server. (socket and socketpair are filtered by their arguments.) */
static const int calls_connect[] = {
        SCMP_SYS(connect), SCMP_SYS(sendmmsg), SCMP_SYS(select), SCMP_SYS(pselect6),
        SCMP_SYS(uname), END_OF_LIST,
};

/* Opening and reading files; Landlock decides which files. */
static const int calls_read_files[] = {
        SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
        SCMP_SYS(fstatfs), SCMP_SYS(statfs), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
        SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(pread64), SCMP_SYS(preadv),
        SCMP_SYS(getcwd), SCMP_SYS(fadvise64), END_OF_LIST,
};

static const int calls_write_files[] = {
        SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(rename),
        SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(mkdir),
        SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(fchmod), SCMP_SYS(fchmodat),
        SCMP_SYS(fchown), SCMP_SYS(flock), SCMP_SYS(umask), SCMP_SYS(utimensat), SCMP_SYS(sync_file_range),
        END_OF_LIST,
};

/*
 * Calls that are denied to a process that starts programs of the operator (a credential_process, a label's command), and to
 * these programs: neither has a reason to make them. An allow list is impossible, since such a program can be any program.
 */
static const int calls_never[] UNUSED = { /* unused in sanitizer builds, which have no filter */
        SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kcmp),
        SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(fsopen),
        SCMP_SYS(fsmount), SCMP_SYS(fsconfig), SCMP_SYS(fspick), SCMP_SYS(mount_setattr), SCMP_SYS(pivot_root),
        SCMP_SYS(chroot), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
        SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
        SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct),
        SCMP_SYS(quotactl), SCMP_SYS(syslog), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(modify_ldt),
        SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
        SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl), SCMP_SYS(settimeofday),
        SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex), SCMP_SYS(sethostname),
        SCMP_SYS(setdomainname), SCMP_SYS(vhangup), SCMP_SYS(lookup_dcookie), SCMP_SYS(open_by_handle_at),
        SCMP_SYS(name_to_handle_at), SCMP_SYS(fanotify_init), SCMP_SYS(personality), SCMP_SYS(setuid),
        SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid), SCMP_SYS(setresgid),
        SCMP_SYS(setgroups), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), END_OF_LIST,
};

/* Files for name lookups (getaddrinfo may load its modules late) and the roots for verifying TLS. */
static const char *const paths_network[] = {
        "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services",
        "/etc/protocols", "/etc/ld.so.cache", "/etc/localtime", "/run/systemd/resolve", "/run/nscd", "/usr/lib", "/usr/lib64",
        "/lib", "/lib64", "/etc/ssl", "/etc/pki", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
        "/dev/urandom", "/dev/null", NULL,
};
/* clang-format on */

enum { LISTS_MAX = 8 }; /* including the final NULL */

struct sandbox_row {
        const char *name;
        const int *allowed[LISTS_MAX]; /* any other call kills the process; no list: every call but calls_never */
        bool may_socket;               /* internet sockets only */
        bool may_thread;
        bool may_load_code; /* executable pages, for modules of glibc's resolver */
        bool may_execute;   /* programs in readable directories */
        const char *const *reads;
};

enum { ID_OVERFLOW = 65534 }; /* the kernel's number for unmapped IDs, and for the user "nobody" */

/* clang-format off */
static const struct sandbox_row rows[] = {
        [SANDBOX_SIGNER] = {
                .name = "signer",
                .allowed = { calls_signer },
        },
        [SANDBOX_STS] = {
                .name = "sts",
                .allowed = { calls_base, calls_threads, calls_sockets, calls_connect, calls_read_files },
                .may_socket = true, .may_thread = true, .may_load_code = true,
                .reads = paths_network,
        },
        [SANDBOX_AUTH] = {
                .name = "auth",
                .allowed = { calls_base, calls_threads, calls_sockets, calls_accept, calls_read_files,
                             calls_write_files },
                .may_thread = true,
        },
        [SANDBOX_PROXY] = {
                .name = "proxy",
                .allowed = { calls_base, calls_threads, calls_sockets, calls_accept, calls_connect,
                             calls_read_files },
                .may_socket = true, .may_thread = true, .may_load_code = true,
                .reads = paths_network,
        },
        [SANDBOX_INSTANCE] = {
                .name = "instance",
                .allowed = { calls_base, calls_threads, calls_sockets, calls_connect, calls_read_files,
                             calls_write_files },
                .may_socket = true, .may_thread = true, .may_load_code = true,
                .reads = paths_network,
        },
        [SANDBOX_ACME] = {
                .name = "acme",
                .allowed = { calls_base, calls_threads, calls_sockets, calls_connect, calls_read_files, calls_write_files },
                .may_socket = true, .may_thread = true, .may_load_code = true,
                .reads = paths_network,
        },
        [SANDBOX_AWS_SIGN] = {
                .name = "aws-sign",
                .may_execute = true,
                .reads = paths_network,
        },
        [SANDBOX_LABELS] = {
                .name = "labels",
                .may_execute = true,
                .reads = paths_network,
        },
        [SANDBOX_INSTANCE_LOCAL] = {
                .name = "instance",
                .allowed = { calls_base, calls_threads, calls_sockets, calls_read_files, calls_write_files },
                .may_thread = true,
        },
        [SANDBOX_AUTHORIZE] = {
                .name = "ssh-authorize",
                .allowed = { calls_authorize },
        },
        [SANDBOX_DIAG] = {
                .name = "diag",
                .allowed = { calls_base, calls_sockets, calls_accept },
        },
        [SANDBOX_APP] = {
                .name = "app",
                .allowed = { calls_base, calls_threads, calls_sockets, calls_connect, calls_read_files, calls_write_files },
                .may_socket = true, .may_thread = true, .may_load_code = true,
                .reads = paths_network,
        },
        [SANDBOX_SSH] = {
                .name = "ssh",
                .allowed = { calls_base, calls_threads, calls_sockets, calls_accept, calls_connect, calls_read_files,
                             calls_write_files },
                .may_socket = true, .may_thread = true, .may_load_code = true,
                .reads = paths_network,
        },
};
/* clang-format on */

/* ---- seccomp ----------------------------------------------------------------------------------- */

#ifdef CTELEPORT_SANITIZED
/* When a process ends, LeakSanitizer reads /proc and attaches to the process; with coverage, counters are written to the build directory. */
static const bool is_sanitized = true;
#else
static const bool is_sanitized = false;
#endif

static char description[192] = "none";

/* Valid in sandbox_enter() only: libseccomp makes the filter of the process and is not used again, so it does not stay in its memory. */
static struct seccomp_api {
        __typeof__(seccomp_init) *init;
        __typeof__(seccomp_attr_set) *attr_set;
        __typeof__(seccomp_rule_add) *rule_add;
        __typeof__(seccomp_load) *load;
        __typeof__(seccomp_release) *release;
} seccomp;

static const struct library_function functions[] = {
        { "seccomp_init", offsetof(struct seccomp_api, init) },
        { "seccomp_attr_set", offsetof(struct seccomp_api, attr_set) },
        { "seccomp_rule_add", offsetof(struct seccomp_api, rule_add) },
        { "seccomp_load", offsetof(struct seccomp_api, load) },
        { "seccomp_release", offsetof(struct seccomp_api, release) },
};

static const struct library libseccomp = {
        .file = "libseccomp.so.2",
        .package = "libseccomp2",
        .functions = functions,
        .function_count = ARRAY_LEN(functions),
};

static struct error *rule_failed(int r)
{
        return error_errno(-r, "cannot write a seccomp rule");
}

/*
 * Unix sockets are denied: seccomp cannot see the address of a connect. Sockets to sibling processes are inherited. Only pairs
 * of streams are allowed, which stay connected; a datagram socket could be connected to another address.
 */
static struct error *allow_socket_families(scmp_filter_ctx filter)
{
        static const int families[] = { AF_INET, AF_INET6 };
        static const scmp_datum_t type_mask = 0xf; /* without the flags SOCK_CLOEXEC and SOCK_NONBLOCK */

        for (size_t i = 0; i < ARRAY_LEN(families); i++) {
                int r = seccomp.rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                         SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
                if (r < 0)
                        return rule_failed(r);
        }
        /* glibc requests AF_UNIX (nscd) and AF_NETLINK (to sort addresses), and works without them when they are refused. */
        int r = seccomp.rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                 SCMP_A0(SCMP_CMP_GT, AF_INET6));
        if (r == 0)
                r = seccomp.rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                     SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
        if (r == 0)
                r = seccomp.rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 2, SCMP_A0(SCMP_CMP_EQ, AF_UNIX),
                                     SCMP_A1(SCMP_CMP_MASKED_EQ, type_mask, SOCK_STREAM));
        return r < 0 ? rule_failed(r) : NULL;
}

/* Allows signals to own threads, as used by abort() and pthread_kill(). Other processes cannot be signalled. */
static struct error *allow_own_signals(scmp_filter_ctx filter)
{
        int r = seccomp.rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
        return r < 0 ? rule_failed(r) : NULL;
}

/* Executable memory is denied unless code may be loaded; then memory is never both executable and writable. */
static struct error *allow_memory(scmp_filter_ctx filter, bool may_load_code)
{
        static const int calls[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
        const scmp_datum_t forbidden = may_load_code ? PROT_EXEC | PROT_WRITE : PROT_EXEC;

        for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
                int r = 0;

                if (!may_load_code) {
                        r = seccomp.rule_add(filter, SCMP_ACT_ALLOW, calls[i], 1,
                                             SCMP_A2(SCMP_CMP_MASKED_EQ, forbidden, 0));
                } else {
                        for (scmp_datum_t has = 0; has <= PROT_WRITE && r == 0; has += PROT_WRITE)
                                r = seccomp.rule_add(filter, SCMP_ACT_ALLOW, calls[i], 1,
                                                     SCMP_A2(SCMP_CMP_MASKED_EQ, forbidden, has));
                        if (r == 0)
                                r = seccomp.rule_add(filter, SCMP_ACT_ALLOW, calls[i], 1,
                                                     SCMP_A2(SCMP_CMP_MASKED_EQ, forbidden, PROT_EXEC));
                }
                if (r < 0)
                        return rule_failed(r);
        }
        return NULL;
}

/* Allows new threads, not processes. The filter cannot read clone3's flags; it fails, and glibc uses clone instead. */
static struct error *allow_threads(scmp_filter_ctx filter)
{
        int r = seccomp.rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                 SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
        return r < 0 ? rule_failed(r) : NULL;
}

/* The ioctls with which libuv and glibc query and prepare descriptors; any other kills the process. */
static struct error *allow_ioctls(scmp_filter_ctx filter)
{
        static const unsigned long requests[] = { FIONBIO, FIONREAD, FIOCLEX, TCGETS };

        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
                int r = seccomp.rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, requests[i]));
                if (r < 0)
                        return rule_failed(r);
        }
        return NULL;
}

/* Calls that libraries try and do not need: they fail with an error instead of killing the process. */
static struct error *answer_probes(scmp_filter_ctx filter)
{
        static const struct {
                int call;
                int errnum;
        } probes[] = {
                { SCMP_SYS(clone3), ENOSYS },
                { SCMP_SYS(io_uring_setup), ENOSYS },
                { SCMP_SYS(openat2), ENOSYS },
                { SCMP_SYS(prctl), EPERM },
        };

        for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
                int r = seccomp.rule_add(filter, SCMP_ACT_ERRNO((uint32_t)probes[i].errnum), probes[i].call, 0);
                if (r < 0)
                        return rule_failed(r);
        }
        return NULL;
}

static struct error *add_list(scmp_filter_ctx filter, uint32_t action, const int *list)
{
        for (const int *call = list; *call != END_OF_LIST; call++) {
                int r = seccomp.rule_add(filter, action, *call, 0);
                if (r < 0)
                        return rule_failed(r);
        }
        return NULL;
}

static struct error *fill_filter(scmp_filter_ctx filter, const struct sandbox_row *row)
{
        if (row->allowed[0] == NULL)
                return add_list(filter, SCMP_ACT_ERRNO(EPERM), calls_never);
        for (const int *const *list = row->allowed; *list != NULL; list++)
                TRY(add_list(filter, SCMP_ACT_ALLOW, *list));
        TRY(allow_memory(filter, row->may_load_code));
        TRY(allow_own_signals(filter));
        if (row->may_socket)
                TRY(allow_socket_families(filter));
        if (row->may_thread)
                TRY(allow_threads(filter));
        TRY(allow_ioctls(filter));
        return answer_probes(filter);
}

static struct error *enter_seccomp(const struct sandbox_row *row)
{
        /* A new filter covers the native architecture; a call through another one (x32, i386) kills the process. */
        bool allow_list = row->allowed[0] != NULL;
        scmp_filter_ctx filter = seccomp.init(allow_list ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW);

        if (filter == NULL)
                return error_new(ERROR_INTERNAL, "cannot begin a seccomp filter");
        struct error *err = NULL;
        int r = seccomp.attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r == 0)
                r = seccomp.attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree by number, not a linear list */
        if (r < 0)
                err = error_errno(-r, "cannot prepare a seccomp filter");
        else
                err = fill_filter(filter, row);
        if (err == NULL && (r = seccomp.load(filter)) < 0)
                err = error_hint(error_errno(-r, "the kernel refused the seccomp filter of '%s'", row->name),
                                 "the kernel must have CONFIG_SECCOMP_FILTER");
        seccomp.release(filter);
        return err;
}

/* ---- capabilities, threads ---------------------------------------------------------------------- */

static struct error *check_single_thread(void)
{
        AUTO_FD int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;

        /* A directory has two links and one for each subdirectory, here a thread. Without /proc the check is skipped. */
        if (fd < 0 || fstat(fd, &st) < 0 || st.st_nlink <= 3 || is_sanitized) /* a sanitizer's runtime may have a thread */
                return NULL;
        return error_new(ERROR_FAILED_PRECONDITION,
                         "%d threads run before the sandbox is entered: it would not apply to them", (int)st.st_nlink - 2);
}

/* Needs a capability, so it precedes the drop of capabilities. Without that capability the set is harmless. */
static void empty_bounding_set(void)
{
        for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
                (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

static struct error *drop_capabilities(void)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

        empty_bounding_set();
        (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        if (syscall(SYS_capset, &header, none) < 0)
                return error_errno(errno, "cannot drop capabilities");
        return NULL;
}

/* ---- users -------------------------------------------------------------------------------------- */

static char identity[64]; /* the user of this process, for sandbox_describe() */

struct error *sandbox_look_up_user(const struct sandbox_user *user, uid_t *ret_uid, gid_t *ret_gid)
{
        const struct passwd *account = getpwnam(user->name);

        if (account != NULL && account->pw_uid != 0 && account->pw_gid != 0) {
                *ret_uid = account->pw_uid;
                *ret_gid = account->pw_gid;
                return NULL;
        }
        if (account != NULL)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the account %s is root's", user->name),
                                  "assign it a user and a group of its own, or remove it");
        if (getpwuid(user->fallback) != NULL || getgrgid((gid_t)user->fallback) != NULL)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "the account %s does not exist, and user or group %u, which stands in for "
                                            "it, belongs to another account", user->name, user->fallback),
                                  "create it: useradd --system --no-create-home --shell /usr/sbin/nologin %s", user->name);
        *ret_uid = user->fallback;
        *ret_gid = (gid_t)user->fallback;
        return NULL;
}

/* The user of this process. It is looked up once: files are given to the same IDs, and each look-up delays the start. */
static struct {
        const char *name;
        uid_t uid;
        gid_t gid;
} known;

void sandbox_know_user(const struct sandbox_user *user, uid_t uid, gid_t gid)
{
        known.name = user->name;
        known.uid = uid;
        known.gid = gid;
}

static struct error *find_user(const struct sandbox_user *user, uid_t *ret_uid, gid_t *ret_gid)
{
        if (known.name == NULL || strcmp(known.name, user->name) != 0) {
                TRY(sandbox_look_up_user(user, ret_uid, ret_gid));
                sandbox_know_user(user, *ret_uid, *ret_gid);
        }
        *ret_uid = known.uid;
        *ret_gid = known.gid;
        return NULL;
}

static bool changes_user(const struct sandbox_user *user)
{
        return geteuid() == 0 && user->name != NULL && !is_sanitized;
}

enum { GIVE_DEPTH_MAX = 4 }; /* our deepest directory, data_dir/log/records, has depth 2 */

struct gift {
        uid_t uid, fallback;
        gid_t gid;
        const char *user, *path; /* for errors */
};

/*
 * The possible owners of a service's file: root, the service itself, with and without an account, and the user that
 * unprivileged services shared in earlier releases. A file of any other account was made by that account: it is not trusted.
 */
static struct error *check_grantable(const struct gift *g, const char *name, const struct stat *st)
{
        AUTO_MEM char *shown = escaped(str_of(name));

        if (st->st_uid != 0 && st->st_uid != g->uid && st->st_uid != g->fallback && st->st_uid != ID_OVERFLOW)
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "%s in %s belongs to user %u", shown, g->path,
                                            st->st_uid),
                                  "if it is the cluster's: chown root it; else remove it");
        if (!S_ISDIR(st->st_mode) && st->st_nlink != 1)
                return error_hint(error_new(ERROR_PERMISSION_DENIED,
                                            "%s in %s has %lu names (hard links): it may be a file of another account",
                                            shown, g->path, (unsigned long)st->st_nlink),
                                  "replace it by a copy, or remove it");
        return NULL;
}

/* Changes the owner of the examined file by its descriptor: its name may refer to another file by now. */
static struct error *give_fd(const struct gift *g, int fd, const char *name, const struct stat *st)
{
        if (st->st_uid == g->uid && st->st_gid == g->gid)
                return NULL;
        TRY(check_grantable(g, name, st));
        /* EINVAL: a user namespace that maps only its root has no other user: see sandbox_become_unprivileged. */
        if (fchownat(fd, "", g->uid, g->gid, AT_EMPTY_PATH) < 0 && errno != EINVAL)
                return error_errno(errno, "cannot change the owner of %s to the user %s", g->path, g->user);
        return NULL;
}

static struct error *give_dir(const struct gift *g, int dir_fd, const char *name, int depth);

static struct error *give_entry(const struct gift *g, int dir_fd, const char *name, int depth)
{
        AUTO_FD int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "cannot examine %s", g->path);
        if (S_ISDIR(st.st_mode))
                return give_dir(g, dir_fd, name, depth);
        return S_ISREG(st.st_mode) ? give_fd(g, fd, name, &st) : NULL;
}

/* Contents first: once the directory has its new owner, all of its contents have it too. */
static struct error *give_dir(const struct gift *g, int dir_fd, const char *name, int depth)
{
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (dir_fd == AT_FDCWD ? 0 : O_NOFOLLOW));
        struct error *err = NULL;
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0 || depth > GIVE_DEPTH_MAX) {
                err = error_errno(depth > GIVE_DEPTH_MAX ? ELOOP : errno, "cannot open the directory %s", g->path);
                if (fd >= 0)
                        close(fd);
                return err;
        }
        DIR *dir = fdopendir(fd); /* owns fd */
        for (struct dirent *e; err == NULL && (e = readdir(dir)) != NULL;)
                if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
                        err = give_entry(g, fd, e->d_name, depth + 1);
        if (err == NULL && (st.st_uid != g->uid || st.st_gid != g->gid)) {
                err = check_grantable(g, name, &st);
                if (err == NULL && fchown(fd, g->uid, g->gid) < 0 && errno != EINVAL)
                        err = error_errno(errno, "cannot change the owner of %s to the user %s", g->path, g->user);
        }
        closedir(dir);
        return err;
}

struct error *sandbox_give(const struct sandbox_user *user, const char *path)
{
        struct gift g = { .user = user->name, .fallback = user->fallback, .path = path };

        if (!changes_user(user))
                return NULL;
        TRY(find_user(user, &g.uid, &g.gid));
        return give_dir(&g, AT_FDCWD, path, 0);
}

struct error *sandbox_take_dir(const struct sandbox_user *user, const char *dir)
{
        if (mkdir(dir, 0700) < 0 && errno != EEXIST) /* exists after the first start, owned by the user */
                return error_errno(errno, "cannot make the directory %s", dir);
        if (chdir(dir) < 0)
                return error_errno(errno, "cannot enter the directory %s", dir);
        struct error *err = sandbox_give(user, ".");
        return err == NULL ? NULL : error_wrap(err, "%s", dir);
}

struct error *sandbox_become_unprivileged(const struct sandbox_user *user)
{
        int parent_death_signal = 0;
        uid_t uid;
        gid_t gid;

        if (!changes_user(user)) {
                snprintf(identity, sizeof(identity), geteuid() == 0 ? "root" : "no user of its own (not started as root)");
                return NULL;
        }
        TRY(find_user(user, &uid, &gid));
        empty_bounding_set();
        /* The kernel clears the parent death signal when the user changes. */
        prctl(PR_GET_PDEATHSIG, &parent_death_signal, 0, 0, 0);
        bool has_left_groups = setgroups(0, NULL) == 0;
        bool has_changed = setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0;
        /* A user namespace that maps only its root: it is an ordinary user outside, and no other user exists. */
        if (!has_changed && errno == EINVAL) {
                snprintf(identity, sizeof(identity), "no user of its own (this user namespace has none)");
                return NULL;
        }
        if (!has_changed || !has_left_groups)
                return error_errno(errno, "cannot become the user %s", user->name);
        if (setresuid((uid_t)-1, 0, (uid_t)-1) == 0)
                return error_new(ERROR_INTERNAL, "still able to become root after becoming %s", user->name);
        snprintf(identity, sizeof(identity), "user %u", uid);
        prctl(PR_SET_PDEATHSIG, parent_death_signal, 0, 0, 0);
        process_harden();
        return NULL;
}

/* ---- entering the sandbox ----------------------------------------------------------------------- */

/* Without Landlock (a kernel before 5.13, or disabled) every file of the user is accessible: the operator must allow this. */
static bool may_lack_landlock(void)
{
        const char *setting = getenv(SANDBOX_LANDLOCK_SETTING);

        return setting != NULL && strcmp(setting, "optional") == 0;
}

static struct error *enter_landlock(const struct sandbox_row *row, struct sandbox_paths paths, int *ret_abi)
{
        struct landlock_rules rules = {
                .reads = { row->reads, paths.read },
                .writes = paths.write,
                .may_execute = row->may_execute,
        };
        TRY(landlock_enter(&rules, ret_abi));
        if (*ret_abi > 0 || may_lack_landlock())
                return NULL;
        return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                    "this kernel has no Landlock, which confines the files of '%s'", row->name),
                          "use Linux 5.13 or newer with landlock in its list of security modules (lsm=), or set "
                          SANDBOX_LANDLOCK_SETTING "=optional in teleport's environment to run without");
}

struct error *sandbox_enter(enum sandbox_kind kind, struct sandbox_paths paths)
{
        const struct sandbox_row *row = &rows[kind];
        AUTO(library_use) use = { 0 };
        int abi = 0;

        TRY(check_single_thread());
        process_harden();
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_errno(errno, "cannot disable new privileges");
        if (is_sanitized) {
                snprintf(description, sizeof(description), "none (sanitizer build)");
                return NULL;
        }
        TRY(library_use(&libseccomp, &seccomp, &use)); /* a file, which Landlock denies to some */
        TRY(enter_landlock(row, paths, &abi));
        TRY(drop_capabilities());
        TRY(enter_seccomp(row));
        const char *separator = identity[0] == '\0' ? "" : ", ";
        if (abi > 0)
                snprintf(description, sizeof(description), "seccomp, landlock %d, no capabilities%s%s", abi, separator, identity);
        else
                snprintf(description, sizeof(description), "seccomp, no landlock in this kernel, no capabilities%s%s", separator, identity);
        return NULL;
}

const char *sandbox_describe(void)
{
        return description;
}

void process_harden(void)
{
        const struct rlimit none = { 0, 0 };

        (void)setrlimit(RLIMIT_CORE, &none); /* lowering a limit never fails */
        process_hide();
        umask(0077);
}

void process_hide(void)
{
        if (!is_sanitized) /* LeakSanitizer attaches to its own process */
                (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        /*
         * Only root may write the coverage files, and a process that is killed during the write leaves a damaged file. Messages
         * about that must not appear in a log or on a user's terminal.
         */
        if (is_sanitized)
                (void)setenv("GCOV_ERROR_FILE", "/dev/null", 0);
}

void process_close_from(int first)
{
        if (syscall(SYS_close_range, (unsigned)first, ~0u, 0u) == 0)
                return;
        long most = sysconf(_SC_OPEN_MAX); /* a kernel before 5.9 */
        for (int fd = first; fd < most; fd++)
                close(fd);
}
