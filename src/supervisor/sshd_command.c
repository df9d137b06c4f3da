/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/sshd_command.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

enum { ARGUMENTS_MAX = 128, OPTION_MAX = 4 * KiB };

/* Options that neither the host's configuration nor a user changes. */
/* clang-format off */
static const char *const fixed_options[] = {
        /* Logins: users with a certificate of the cluster's CA, if the cluster allows it now. */
        "AuthenticationMethods=publickey",
        "PubkeyAuthentication=yes",
        "PasswordAuthentication=no",
        "KbdInteractiveAuthentication=no",
        "HostbasedAuthentication=no",
        "PermitEmptyPasswords=no",
        "PermitRootLogin=prohibit-password",
        "AuthorizedKeysFile=none",
        "AuthorizedPrincipalsFile=none",
        "MaxAuthTries=6",
        "LoginGraceTime=60",
        "UseDNS=no",

        /* Authentication of the host. */
        "HostKeyAlgorithms=ssh-ed25519-cert-v01@openssh.com,ssh-ed25519",

        /* Upper limits of a session's permissions: the permissions that the cluster gives come with the principals. */
        "PermitTTY=yes",
        "AllowTcpForwarding=yes",
        "AllowAgentForwarding=yes",
        "AllowStreamLocalForwarding=no",
        "GatewayPorts=no",
        "PermitTunnel=no",
        "X11Forwarding=no",
        "PermitUserRC=no",
        "PermitUserEnvironment=no",
        "AcceptEnv=LANG LC_*",
        "PrintMotd=no",
        "PrintLastLog=no",
        "Banner=none",
        "VersionAddendum=none",
        "ExposeAuthInfo=no",
        "ChrootDirectory=none",

        /* The connection is a socket pair. The process at the other end detects a lost network connection. */
        "TCPKeepAlive=no",
        "PidFile=none",

        /* The lines that sshd_log.c parses: accepted logins, and forwards. */
        "LogLevel=VERBOSE",
        "LogVerbose=serverloop.c:server_request_direct_tcpip*,serverloop.c:server_input_global_request*",
};
/* clang-format on */

struct arguments {
        struct arena *arena;
        char **argv;
        size_t count;
};

static void add(struct arguments *args, const char *text)
{
        if (args->count == ARGUMENTS_MAX - 1)
                bug("more than %d arguments for sshd", ARGUMENTS_MAX - 1);
        args->argv[args->count++] = unconst(text);
}

static void add_option(struct arguments *args, const char *format, ...) PRINTF_LIKE(2, 3);

static void add_option(struct arguments *args, const char *format, ...)
{
        char text[OPTION_MAX];
        va_list values;

        va_start(values, format);
        int len = vsnprintf(text, sizeof(text), format, values);
        va_end(values);
        if (len < 0 || (size_t)len >= sizeof(text))
                bug("an option of sshd is longer than %d bytes", OPTION_MAX - 1);
        add(args, "-o");
        add(args, str_to_c(args->arena, str_of(text)));
}

/* Whether sshd uses PAM: as configured, else if the platform has PAM, as the platform's own sshd does. */
static bool wants_pam(const struct sshd_command *c)
{
        const Cteleport__V1__PamConfig *pam = c->config == NULL ? NULL : c->config->pam;

        return pam != NULL && pam->has_enabled ? pam->enabled : c->has_pam;
}

/* Facts of the host for ssh-authorize, which must not come from the process that is exposed to the network. */
static const char *authority_arguments(const struct sshd_command *c, struct arena *a)
{
        AUTO(buf) text = BUF_MAX(OPTION_MAX);
        bool has_no_forwarding = c->config != NULL && c->config->has_port_forwarding && !c->config->port_forwarding;

        if (c->host_id != NULL)
                buf_printf(&text, " --host=%s", c->host_id);
        for (size_t i = 0; i < c->ca_count; i++)
                buf_printf(&text, " --ca=%s", c->cas[i]);
        if (has_no_forwarding)
                buf_put(&text, STR(" --no-port-forwarding"));
        return str_to_c(a, buf_str(&text));
}

char **sshd_command_arguments(const struct sshd_command *c, struct arena *a)
{
        struct arguments args = { a, arena_alloc(a, ARGUMENTS_MAX * sizeof(char *)), 0 };

        add(&args, SSHD_PROGRAM);
        add(&args, "-i"); /* one connection, on standard input and output */
        add(&args, "-e"); /* its log on standard error */
        add(&args, "-f");
        add(&args, "none");
        if (c->guard != NULL)
                add_option(&args, "%s", c->guard);
        for (size_t i = 0; i < ARRAY_LEN(fixed_options); i++) {
                add(&args, "-o");
                add(&args, fixed_options[i]);
        }
        add_option(&args, "MaxSessions=%d", LIMIT_SSH_SESSIONS);
        add_option(&args, "UsePAM=%s", wants_pam(c) ? "yes" : "no");
        add(&args, "-o"); /* of one identity, also if the directory is replaced between the reads of both */
        add(&args, "HostKey=/proc/self/cwd/host_key");
        add(&args, "-o");
        add(&args, "HostCertificate=/proc/self/cwd/host_key-cert.pub");
        add_option(&args, "TrustedUserCAKeys=%s/proc/ssh/user_ca.pub", c->data_dir);
        /* sshd requires a program in directories that only root can write: env(1) is in one, `teleport` may not be. */
        add_option(&args, "AuthorizedPrincipalsCommand=/usr/bin/env %s ssh-authorize --socket=%s --connection=%s%s %%u %%k",
                   c->exe, c->socket, c->connection_id, authority_arguments(c, a));
        add_option(&args, "AuthorizedPrincipalsCommandUser=%s", c->authorize_user);
        bool has_sftp = c->sftp_server != NULL;
        /* No shell parses this: sshd_preload.c splits it into the words of a program. */
        add_option(&args, "ForceCommand=exec %s ssh-session --socket=%s --connection=%s%s%s", c->exe, c->socket,
                   c->connection_id, has_sftp ? " --sftp=" : "", has_sftp ? c->sftp_server : "");
        if (has_sftp)
                add_option(&args, "Subsystem=sftp %s -e -l INFO", c->sftp_server);
        add(&args, NULL);
        return args.argv;
}

/* A program that is linked with a library contains the file name of the library: elf(5), DT_NEEDED. */
static bool is_linked_with_pam(const char *program)
{
        static const char library[] = "libpam.so.";
        AUTO_FD int fd = open(program, O_RDONLY | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0)
                return false;
        void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
                return false;
        bool is_linked = memmem(bytes, (size_t)st.st_size, library, sizeof(library) - 1) != NULL;
        munmap(bytes, (size_t)st.st_size);
        return is_linked;
}

bool sshd_command_platform_has_pam(void)
{
        /* From OpenSSH 9.8 on, another of its programs opens the sessions. */
        static const char *const programs[] = { SSHD_PROGRAM, "/usr/lib/openssh/sshd-session", "/usr/libexec/openssh/sshd-session",
                                                "/usr/libexec/sshd-session", "/usr/lib/ssh/sshd-session" };
        bool is_linked = false;

        for (size_t i = 0; i < ARRAY_LEN(programs); i++)
                is_linked |= is_linked_with_pam(programs[i]);
        /* The directories of Linux-PAM: pam.d(5). Without a file for sshd, PAM uses that for `other`, which denies all users. */
        return is_linked && (access("/etc/pam.d/sshd", R_OK) == 0 || access("/usr/lib/pam.d/sshd", R_OK) == 0);
}

bool sshd_command_takes_path(const char *path)
{
        for (const char *c = path; *c != '\0'; c++)
                if (!char_is_alnum(*c) && strchr("/._-+", *c) == NULL)
                        return false;
        return path[0] == '/';
}
