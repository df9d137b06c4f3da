/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small library that the supervisor preloads into each sshd it starts (ld.so(8), LD_PRELOAD), and the two programs
 * that it contains: the session program and ssh-authorize. They are embedded in this program, so that their releases
 * always match and no files are installed.
 *
 * sshd can start a ForceCommand only through the account's login shell, with an environment that PAM may have set from
 * the account's files. The library intercepts that: see sshd_preload.c.
 */
#ifndef SESSION_SSHD_PRELOAD_H
#define SESSION_SSHD_PRELOAD_H

#include "base/str.h"

/* The library is descriptor 3 of the starting sshd, which closes it. */
enum { SSHD_PRELOAD_FD = 3 };
#define SSHD_PRELOAD_ENV "LD_PRELOAD=/proc/self/fd/3"

/*
 * An invalid option of sshd, which the library overwrites in place with a valid one of the same length: without the
 * library sshd ends before it reads from the network.
 */
#define SSHD_PRELOAD_GUARD "Preload=1"
#define SSHD_PRELOAD_GUARD_TAKEN "UseDNS=No"

/* Prefix of each entry of the account's environment in the environment of the session program: no program uses such names. */
#define SESSION_ENV_MARK '.'

/*
 * An entry without that prefix: the text that sshd would print on the terminal before the login shell (messages of
 * PAM's modules and the line of the last login). Present in such sessions only, and limited to the kernel's size of an
 * entry.
 */
#define SESSION_GREETING "SESSION_GREETING"
enum { SESSION_GREETING_MAX = 32 * 1024 };

/* The library, an ELF image; static. */
struct str sshd_preload_image(void);

/* The session program that it starts, as embedded in the library; static. */
struct str session_program_image(void);

/*
 * The program ssh-authorize, likewise: sshd runs it twice for each login, and it starts in half the time of `teleport`,
 * which has the libraries of all services.
 */
struct str authorize_program_image(void);

#endif
