/* SPDX-License-Identifier: Apache-2.0 */
/* The program of a session, as sshd_preload.c starts it: argv is "PROGRAM ssh-session OPTION…". */
#include <string.h>
#include <sys/prctl.h>

#include "session/session.h"

#ifdef CTELEPORT_SANITIZED
/* LeakSanitizer makes the process dumpable at exit, so that another program of the account could trace it. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
        return "detect_leaks=0";
}
#endif

int main(int argc, char **argv)
{
        prctl(PR_SET_NAME, "teleport"); /* executed by descriptor, so the kernel would name it by a number */
        if (argc < 2 || strcmp(argv[1], "ssh-session") != 0)
                return 2;
        return session_main(argc - 1, argv + 1);
}
