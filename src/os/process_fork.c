/* SPDX-License-Identifier: Apache-2.0 */
#include "os/process_fork.h"

#include <signal.h>
#include <unistd.h>

static void forget_handlers(void)
{
        const struct sigaction by_default = { .sa_handler = SIG_DFL };
        struct sigaction now;

        for (int signum = 1; signum < NSIG; signum++)
                if (sigaction(signum, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
                        (void)sigaction(signum, &by_default, NULL); /* fails for SIGKILL and SIGSTOP only */
}

pid_t process_fork(void)
{
        sigset_t all, before;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        pid_t pid = fork();
        if (pid == 0)
                forget_handlers();
        sigprocmask(SIG_SETMASK, &before, NULL);
        return pid;
}
