/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the command line of sshd for one connection. All options are on the command line and no configuration file is
 * read, so that the host's files, other than accounts and their shells, do not change its behaviour. See
 * sshd_config(5).
 */
#ifndef SUPERVISOR_SSHD_COMMAND_H
#define SUPERVISOR_SSHD_COMMAND_H

#include "base/arena.h"
#include "config.pb-c.h"

#define SSHD_PROGRAM "/usr/sbin/sshd"
/* Root directory of sshd's unprivileged process: empty, and owned by root. */
#define SSHD_EMPTY_DIR "/run/sshd"

/* Everything borrowed. */
struct sshd_command {
        const char *exe;           /* this program: see sshd_command_takes_path */
        const char *data_dir;
        const char *sftp_server;   /* NULL: there is none on this host */
        const char *socket;        /* name of the helpers socket */
        const char *connection_id;
        const char *authorize_user; /* runs ssh-authorize; not root */
        const char *host_id;       /* NULL: not known yet, and no user can log in */
        const char *const *cas;    /* pins of the CAs that certify Auth Services */
        size_t ca_count;
        const Cteleport__V1__SSHConfig *config; /* may be NULL */
        bool has_pam;              /* sshd_command_platform_has_pam(): the default of ssh_service.pam */
        const char *guard;         /* an option for the library preloaded into sshd; NULL: sshd runs without it */
};

/* argv, NULL-terminated, in the arena. sshd's working directory must be data_dir/proc/ssh (instance/ssh_files.h): it reads host key and certificate there. */
char **sshd_command_arguments(const struct sshd_command *c, struct arena *a) MUST_USE;

/* Whether sshd of this host is built with PAM, and PAM has a configuration for it. */
bool sshd_command_platform_has_pam(void);

/* Whether a path needs no quoting in sshd's options: letters, digits and /._-+ only, absolute. */
bool sshd_command_takes_path(const char *path);

#endif
