/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small library that the supervisor loads into each sshd it starts (ld.so(8), LD_PRELOAD), and what is in the library:
 * the program of a session, and ssh-authorize. All are built with this program and are part of it, so that they cannot be of
 * different releases, and need no directory of their own.
 *
 * sshd has no way to start a ForceCommand but through the account's login shell, with an environment that PAM may have
 * filled from the account's own files. The library stands between: see sshd_preload.c.
 */
#ifndef SESSION_SSHD_PRELOAD_H
#define SESSION_SSHD_PRELOAD_H

#include "base/str.h"

/* The library is descriptor 3 of the sshd that starts, which closes it. */
enum { SSHD_PRELOAD_FD = 3 };
#define SSHD_PRELOAD_ENV "LD_PRELOAD=/proc/self/fd/3"

/*
 * An option of no sshd, which the library overwrites in place with one of the same length: without the library sshd ends
 * before it has read a byte of the network.
 */
#define SSHD_PRELOAD_GUARD "Preload=1"
#define SSHD_PRELOAD_GUARD_TAKEN "UseDNS=No"

/* Before each entry of the account's environment in that of the program of a session: no program knows such names. */
#define SESSION_ENV_MARK '.'

/*
 * An entry without a mark: what sshd would show on the terminal before the login shell. Text of PAM's modules and the line of the
 * last login; only there for such a session. Bounded, so that the kernel takes it.
 */
#define SESSION_GREETING "SESSION_GREETING"
enum { SESSION_GREETING_MAX = 32 * 1024 };

/* The library, an ELF image; static. */
struct str sshd_preload_image(void);

/* The program of a session that it starts, as it lies in the library; static. */
struct str session_program_image(void);

/*
 * ssh-authorize, in the same way: sshd runs it twice for each login, and it starts in half the time of `teleport`, which has
 * the libraries of all services.
 */
struct str authorize_program_image(void);

#endif
