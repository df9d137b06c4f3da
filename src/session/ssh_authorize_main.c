/* SPDX-License-Identifier: Apache-2.0 */
/* ssh-authorize as sshd_preload.c starts it: argv is "PROGRAM ssh-authorize OPTION… LOGIN CERTIFICATE". */
#include <string.h>
#include <sys/prctl.h>

#include "session/session.h"

int main(int argc, char **argv)
{
        prctl(PR_SET_NAME, "teleport"); /* executed by descriptor, so the kernel would name it by a number */
        if (argc < 2 || strcmp(argv[1], "ssh-authorize") != 0)
                return 2;
        return session_authorize_main(argc - 1, argv + 1);
}
